//! Other systems on this machine: folders that hold the root of one, for example a newer Debian.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Makes `$1` the root, with this machine's network, processes and devices, and with the folder `$2`, which is this
/// machine's, too. A mere `chroot` is not enough for daemons, which change their root again. Ends with its input.
const ENTER: &str = r#"
set -e
mount --bind "$1" "$1"
cd "$1"
for folder in proc sys dev; do mount --rbind /$folder $folder; done
mount -t tmpfs tmp tmp
mkdir -p ".$2"
mount --bind "$2" ".$2"
pivot_root . .
umount -l .
echo entered
exec cat
"#;

/// A system that can run programs. Its mounts are its own: they go with it and the programs that run in it.
pub(crate) struct System {
    /// Holds the mounts, until its input ends.
    holder: Child,
}

impl System {
    /// The system in `root`, which sees `folder` and nothing else of this machine's files.
    ///
    /// # Panics
    ///
    /// If it cannot be entered.
    pub(crate) fn enter(root: &Path, folder: &Path) -> Self {
        let mut holder = Command::new("unshare")
            .args([
                "--mount",
                "--propagation",
                "private",
                "sh",
                "-c",
                ENTER,
                "sh",
            ])
            .args([root, folder])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare");
        let output = holder.stdout.take().expect("stdout is piped");
        // From here on `Drop` ends the child.
        let system = Self { holder };
        let mut line = String::new();
        let read = BufReader::new(output).read_line(&mut line);
        read.expect("a line");
        assert_eq!(line.trim_end(), "entered", "{}", root.display());
        system
    }

    /// A command of one of its programs, which will run in `folder`.
    pub(crate) fn command(&self, program: &str, folder: &Path) -> Command {
        let mut command = Command::new("nsenter");
        command
            .arg("--mount")
            .arg(format!("--target={}", self.holder.id()))
            .args(["sh", "-c", r#"cd "$1" && shift && exec "$@""#, "sh"])
            .arg(folder)
            .arg(program);
        command
    }
}

impl Drop for System {
    fn drop(&mut self) {
        drop(self.holder.stdin.take());
        let _ = self.holder.wait();
    }
}
