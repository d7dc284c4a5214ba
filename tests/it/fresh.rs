//! Archives made afresh by the tools on this machine: each is served alone, and all that is in it comes out of the server,
//! byte for byte, under the names and digests that the tool tells.
//!
//! The tests have tables of [`Case`]s: what a person would type, and what it has to become.

mod containerd;
mod containers;
mod crane;
mod docker;
mod umoci;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::archives::{Repository, compare};
use crate::daemons::Home;
use crate::server::Server;

/// What pulls and checks an archive beside the tool that made it.
const READERS: [&str; 2] = ["skopeo", "crane"];

/// A line of the shell that makes an archive.
///
/// In all texts `$P` is the folder to be served, in which there is nothing else, `$F` the archive in it and `$R` the
/// registry that images can be had from.
struct Case {
    make: &'static str,
    /// The name of the archive in the folder.
    file: &'static str,
    /// `HOST/PATH:TAG`; the host is `.` where the name is made from that of the archive.
    names: &'static [&'static str],
    told: Told,
}

/// A line of the shell by which the tool tells what the images are.
enum Told {
    /// The digests of their manifests or indexes.
    Digests(&'static str),
    /// The digests of their configurations, which tools call the IDs of images.
    Ids(&'static str),
}

/// Makes, serves and compares all of them.
fn check_all(home: &Home, registry: &str, cases: &[Case]) {
    for (number, case) in cases.iter().enumerate() {
        let folder = home.join(&format!("case{number}"));
        fs::create_dir(&folder).expect("a folder");
        Making { registry, folder }.check(home, case);
    }
}

struct Making<'a> {
    registry: &'a str,
    folder: PathBuf,
}

impl Making<'_> {
    fn check(&self, home: &Home, case: &Case) {
        let line = self.expand(case.make, case);
        home.sh(&line);
        let server = Server::serving(&self.folder);
        let archive = self.folder.join(self.expand(case.file, case));
        let repositories = compare(&server, &self.folder, &archive);

        let names: BTreeSet<String> = repositories
            .iter()
            .flat_map(Repository::references)
            .collect();
        let expected = case.names.iter().map(|name| self.expand(name, case));
        assert_eq!(names, expected.collect(), "{line}");

        let (told, found) = match case.told {
            Told::Digests(told) => (told, digests(&repositories)),
            Told::Ids(told) => (told, ids(&server, &repositories)),
        };
        let told = home.sh(&self.expand(told, case));
        let told: BTreeSet<String> = told.split_whitespace().map(str::to_owned).collect();
        assert_eq!(found, told, "{line}");
    }

    fn expand(&self, text: &str, case: &Case) -> String {
        let folder = self.folder.to_str().expect("an ASCII path");
        text.replace("$F", &format!("$P/{}", case.file))
            .replace("$P", folder)
            .replace("$R", self.registry)
    }
}

fn digests(repositories: &[Repository]) -> BTreeSet<String> {
    let manifests = repositories.iter().flat_map(Repository::manifests);
    manifests
        .filter_map(|path| path.rsplit_once('/').map(|(_, digest)| digest.to_owned()))
        .collect()
}

fn ids(server: &Server, repositories: &[Repository]) -> BTreeSet<String> {
    let manifests = repositories.iter().flat_map(Repository::manifests);
    manifests
        .filter_map(|path| {
            server.get(&path).json()["config"]["digest"]
                .as_str()
                .map(str::to_owned)
        })
        .collect()
}

/// Writes what images are built of: a program of a size as real ones have, if there is one, and some small files.
fn write_context(home: &Home) {
    let context = home.join("context");
    fs::create_dir(&context).expect("a folder");
    let program = Path::new("/bin/busybox");
    if program.exists() {
        fs::copy(program, context.join("program")).expect("a copy");
    } else {
        fs::write(context.join("program"), "#!/bin/sh\n").expect("a file");
    }
    for (name, text) in [
        (
            "one",
            "FROM scratch\nCOPY program /bin/\nCOPY one /\nCMD [\"/bin/program\"]\n",
        ),
        ("two", "FROM test/one:1.0\nCOPY two /\n"),
    ] {
        fs::write(context.join(name), text).expect("a file");
    }
}

/// Has buildah build `localhost/test/one:1.0`, `localhost/test/two:1.0` upon it, and `localhost/test/multi:1` for two
/// platforms.
fn build_images(home: &Home) {
    write_context(home);
    let build = "buildah bud -q --layers";
    home.sh(&format!(
        "{build} -t localhost/test/one:1.0 -f context/one context"
    ));
    home.sh("sed -i s,test/one,localhost/test/one, context/two");
    home.sh(&format!(
        "{build} -t localhost/test/two:1.0 -f context/two context"
    ));
    let platforms = "--platform linux/amd64,linux/arm64 --manifest localhost/test/multi:1";
    // Without `--layers`: with it the second platform would get the first one's image from the cache.
    home.sh(&format!(
        "buildah bud -q {platforms} -f context/one context"
    ));
}

/// Serves those images, as buildah writes them, with the names `example.com/test/…`.
fn registry(home: &Home) -> Server {
    build_images(home);
    home.sh("mkdir registry");
    for image in ["test/one:1.0", "test/two:1.0"] {
        let file = format!("registry/{}.tar", &image[5..8]);
        home.sh(&format!(
            "buildah push -q localhost/{image} oci-archive:{file}:example.com/{image}"
        ));
    }
    home.sh("buildah manifest push -q --all localhost/test/multi:1 \
         oci-archive:registry/multi.tar:example.com/test/multi:1");
    Server::serving(&home.join("registry"))
}
