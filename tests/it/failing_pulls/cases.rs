//! What each client is made to fail at, and what it does then.

/// A client.
pub(super) struct Client {
    /// As the page calls it.
    pub(super) name: &'static str,
    /// Lines that make it forget all images.
    pub(super) forget: &'static str,
    /// Lines that write the SHA-256 of each layer that it has.
    pub(super) sums: &'static str,
    /// Its cases, with a blank line between.
    text: &'static str,
}

pub(super) const DOCKER: Client = Client {
    name: "docker",
    forget: "docker images -aq | xargs -r docker image rm -f",
    sums: "docker images -q | xargs docker save | tar -x --wildcards '*/layer.tar' --to-command=sha256sum",
    text: include_str!("docker.txt"),
};

pub(super) const CTR: Client = Client {
    name: "ctr",
    // The end of a lease has containerd drop what it began to fetch: else it would go on with the wrong bytes.
    forget: "ctr images ls -q | xargs -r ctr images rm; ctr content ls -q | xargs -r ctr content rm; \
             ctr leases rm --sync $(ctr leases create)",
    sums: "for digest in $(ctr content ls -q); do ctr content get $digest | sha256sum; done",
    text: include_str!("ctr.txt"),
};

pub(super) const PODMAN: Client = Client {
    name: "podman",
    forget: "podman rmi -af",
    sums: "podman save $(podman images -q) | tar -x --wildcards '*.tar' --to-command=sha256sum",
    text: include_str!("podman.txt"),
};

pub(super) const BUILDAH: Client = Client {
    name: "buildah",
    forget: "buildah rmi -af; rm -f saved.tar",
    sums: "buildah push -q $(buildah images -q) docker-archive:saved.tar; \
           tar -xf saved.tar --wildcards '*.tar' --to-command=sha256sum",
    text: include_str!("buildah.txt"),
};

pub(super) const SKOPEO: Client = Client {
    name: "skopeo",
    forget: "rm -rf image",
    sums: "sha256sum image/*",
    text: include_str!("skopeo.txt"),
};

pub(super) const CRANE: Client = Client {
    name: "crane",
    forget: "rm -f image.tar",
    sums: "tar -xf image.tar --wildcards '*.tar.gz' --to-command=sha256sum",
    text: include_str!("crane.txt"),
};

pub(super) const ORAS: Client = Client {
    name: "oras",
    forget: "rm -rf image",
    sums: "sha256sum image/blobs/sha256/*",
    text: include_str!("oras.txt"),
};

pub(super) const REGCTL: Client = Client {
    name: "regctl",
    forget: "rm -rf image .regctl",
    sums: "sha256sum image/blobs/sha256/*",
    text: include_str!("regctl.txt"),
};

/// All clients.
pub(super) const ALL: &[Client] = &[DOCKER, CTR, PODMAN, BUILDAH, SKOPEO, CRANE, ORAS, REGCTL];

impl Client {
    pub(super) fn cases(&self) -> impl Iterator<Item = Case> {
        self.text.trim_end().split("\n\n").map(Case::read)
    }
}

/// One pull that fails.
pub(super) struct Case {
    /// What the client says then, as it stands on the page.
    pub(super) words: &'static str,
    /// Lines that fail so.
    pub(super) fails: Vec<&'static str>,
    /// What to do, after which the client can pull; none where all advice is to go and look.
    pub(super) then: Vec<Line>,
}

/// A line of what to do.
#[derive(Clone, Copy)]
pub(super) enum Line {
    /// What the page says.
    Page(&'static str),
    /// What the test does for it.
    Own(&'static str),
}

impl Case {
    /// `# words`, lines that fail, and then `> ` before the page's lines and `+ ` before the test's own.
    fn read(text: &'static str) -> Self {
        let mut lines = text.lines();
        let words = lines.next().and_then(|line| line.strip_prefix("# "));
        let (then, fails) =
            lines.partition(|line| line.starts_with("> ") || line.starts_with("+ "));
        let then: Vec<&str> = then;
        let line = |line: &'static str| match line.split_at(2) {
            ("> ", line) => Line::Page(line),
            (_, line) => Line::Own(line),
        };
        Self {
            words: words.expect("a case begins with its words"),
            fails,
            then: then.into_iter().map(line).collect(),
        }
    }
}
