//! The columns of the table: what a client is told to do, and whether it has done it.
//!
//! A client that says it has, and has not the right bytes then, fails the test: there is no cell for that.

use std::collections::BTreeSet;
use std::fs;

use super::cell::Cell;
use super::sample::{
    self, APP, ARTIFACT, CHART, FILES, GREETING, HELLO, LARGE, MIRRORED, SPOILED, TAG,
};
use super::session::{Pulled, Reference, Session};
use crate::fixture::Node;
use crate::proxy::{Fault, Harm, Proxy};
use crate::server::Server;

/// A client, and the server that it has to do with.
pub(super) struct Scene<'a> {
    pub(super) session: &'a Session,
    pub(super) server: &'a Server,
}

/// The title of a column, and its check.
type Column = (&'static str, fn(&Scene) -> Cell);

/// All columns.
pub(super) const COLUMNS: [Column; 13] = [
    ("pull by tag", tag),
    ("pull by digest", digest),
    ("one platform", platform),
    ("all platforms", platforms),
    ("list tags", tags),
    ("catalog or search", catalog),
    ("referrers", referrers),
    ("Helm chart", chart),
    ("files of an artifact", files),
    ("resume after a cut", resume),
    ("notices a wrong byte", spoiled),
    ("as mirror", mirrored),
    ("run a container", run),
];

fn tag(scene: &Scene) -> Cell {
    let pulled = scene.session.pull(&scene.tagged(APP));
    judge(&pulled, &pulled.lacks(&sample::image(sample::own())))
}

fn digest(scene: &Scene) -> Cell {
    let digest = sample::index().digest();
    let reference = Reference::digest(scene.server.authority(), APP, &digest);
    let pulled = scene.session.pull(&reference);
    judge(&pulled, &pulled.lacks(&sample::image(sample::own())))
}

fn platform(scene: &Scene) -> Cell {
    let Some(line) = scene.session.client.more.platform else {
        return Cell::Nothing;
    };
    let (foreign, _) = sample::foreign();
    let pulled = scene.session.fetch(line, &scene.tagged(APP));
    let own = sample::image(sample::own());
    let [.., layer] = &own.layers[..] else {
        panic!("an image has layers");
    };
    assert!(!pulled.has(&layer.blob()), "both platforms were fetched");
    judge(&pulled, &pulled.lacks(&sample::image(foreign)))
}

fn platforms(scene: &Scene) -> Cell {
    let Some(line) = scene.session.client.more.platforms else {
        return Cell::Nothing;
    };
    let pulled = scene.session.fetch(line, &scene.tagged(APP));
    judge(&pulled, &lacks_node(&pulled, &sample::index()))
}

fn chart(scene: &Scene) -> Cell {
    let pulled = scene.session.pull(&scene.tagged(CHART));
    judge(&pulled, &lacks_node(&pulled, &sample::chart()))
}

/// The connection that brings a large layer ends in its midst, once.
fn resume(scene: &Scene) -> Cell {
    let (image, proxy) = (sample::large(), Proxy::before(scene.server.addr()));
    let layer = image.layers[0].blob();
    let middle = layer.bytes.len() as u64 / 2;
    proxy.spoil([Fault::get(&layer.digest, Harm::CutBody(middle))]);
    let reference = Reference::tag(&proxy.authority(), LARGE, TAG);
    let pulled = scene.session.pull(&reference);
    let cell = judge(&pulled, &pulled.lacks(&image));
    let seen = proxy.seen().into_iter();
    let mut ranges = seen.filter_map(|request| request.range);
    match (cell, ranges.next()) {
        (Cell::Yes, None) => Cell::How("from the start".to_owned()),
        (Cell::Yes, Some(range)) => {
            assert!(range.starts_with(&format!("bytes={middle}-")), "{range}");
            Cell::Yes
        }
        (cell, _) => cell,
    }
}

/// A server that is told not to look sends a layer as it lies in the archive: here with another byte in it than its digest
/// says.
fn spoiled(scene: &Scene) -> Cell {
    let packages = sample::packages();
    let server = packages.serve(&["--verify", "off"]);
    let reference = Reference::tag(server.authority(), SPOILED, TAG);
    let pulled = scene.session.pull(&reference);
    let layer = &sample::spoiled().layers[0];
    let request = format!("/v2/{SPOILED}/blobs/{}", layer.blob().digest);
    server.wait_for_stderr(&request);
    if pulled.success {
        return Cell::No("took it".to_owned());
    }
    let said = pulled.said.to_lowercase();
    assert!(said.contains("digest") || said.contains("verif"), "{said}");
    Cell::Yes
}

/// The server's log tells that it came here, and with what query.
fn mirrored(scene: &Scene) -> Cell {
    let Some(line) = scene.session.client.more.mirrored else {
        return Cell::Nothing;
    };
    let reference = Reference::tag("docker.io", MIRRORED, TAG);
    let pulled = scene.session.fetch(line, &reference);
    let cell = judge(&pulled, &pulled.lacks(&sample::image(sample::own())));
    if cell != Cell::Yes {
        return cell;
    }
    let log = scene
        .server
        .wait_for_stderr(&format!("/v2/{MIRRORED}/blobs/"));
    let requests = log.lines().filter(|line| line.contains(MIRRORED));
    let queries: BTreeSet<_> = requests.map(query).collect();
    match queries.iter().collect::<Vec<_>>()[..] {
        [Some(query)] => Cell::How(format!("`?{query}`")),
        [None] => Cell::Yes,
        _ => panic!("some requests have a query, and some have not:\n{log}"),
    }
}

/// The query in a line of the log.
fn query(line: &str) -> Option<&str> {
    let (_, request) = line.split_once("\"GET ").or(line.split_once("\"HEAD "))?;
    let (target, _) = request.split_once('"')?;
    target.split_once('?').map(|(_, query)| query)
}

fn tags(scene: &Scene) -> Cell {
    let told = scene.server.get(&format!("/v2/{APP}/tags/list")).json();
    words(scene, scene.session.client.more.tags, &told["tags"])
}

fn catalog(scene: &Scene) -> Cell {
    let told = scene.server.get("/v2/_catalog").json();
    words(
        scene,
        scene.session.client.more.catalog,
        &told["repositories"],
    )
}

/// Whether a command writes these words, and no other.
fn words(scene: &Scene, line: Option<&str>, wanted: &serde_json::Value) -> Cell {
    let Some(line) = line else {
        return Cell::Nothing;
    };
    // docker tells its tags from the images it has.
    scene.session.forget();
    let told = scene.session.tell(line, &scene.tagged(APP));
    if !told.success {
        return Cell::failed(&told.said());
    }
    let registry = format!("{}/", scene.server.authority());
    let words = told.stdout.split_whitespace();
    let words: BTreeSet<_> = words
        .map(|word| word.strip_prefix(&registry).unwrap_or(word))
        .collect();
    let wanted = wanted.as_array().expect("a list").iter();
    let wanted: BTreeSet<_> = wanted.map(|word| word.as_str().expect("a word")).collect();
    assert_eq!(words, wanted, "{}", told.said());
    Cell::Yes
}

fn referrers(scene: &Scene) -> Cell {
    let Some(line) = scene.session.client.more.referrers else {
        return Cell::Nothing;
    };
    let told = scene.session.tell(line, &scene.tagged(APP));
    if !told.success {
        return Cell::failed(&told.said());
    }
    let mut digests = digests(&told.stdout);
    digests.remove(&sample::index().digest());
    let wanted: BTreeSet<_> = sample::referrers().iter().map(Node::digest).collect();
    assert_eq!(digests, wanted, "{}", told.said());
    Cell::Yes
}

/// All digests in a text.
fn digests(text: &str) -> BTreeSet<String> {
    let ends = text.split("sha256:").skip(1);
    let ends = ends.filter_map(|rest| rest.get(..64));
    ends.map(|hex| format!("sha256:{hex}")).collect()
}

fn files(scene: &Scene) -> Cell {
    let Some(line) = scene.session.client.more.files else {
        return Cell::Nothing;
    };
    let fetched = scene.session.fetch(line, &scene.tagged(FILES));
    if !fetched.success {
        return Cell::failed(&fetched.said);
    }
    assert_eq!(fetched.stored.len(), ARTIFACT.len(), "{}", fetched.said);
    for (name, bytes) in ARTIFACT {
        let file = scene.session.out().join(name);
        assert_eq!(fs::read(file).expect(name), bytes, "{name}");
    }
    Cell::Yes
}

fn run(scene: &Scene) -> Cell {
    let Some(line) = scene.session.client.more.run else {
        return Cell::Nothing;
    };
    let (repository, tag) = HELLO;
    let reference = Reference::tag(scene.server.authority(), repository, tag);
    let pulled = scene.session.pull(&reference);
    assert!(pulled.success, "{}", pulled.said);
    // Some versions of ctr end before they have copied what a program wrote that was over at once: then the output is empty,
    // and says nothing about the image.
    let mut told = scene.session.tell(line, &reference);
    for _ in 0..5 {
        if told.success && told.stdout.is_empty() {
            told = scene.session.tell(line, &reference);
        }
    }
    if !told.success {
        return Cell::failed(&told.said());
    }
    assert_eq!(told.stdout.trim(), GREETING, "{}", told.stderr);
    Cell::Yes
}

/// What is not stored of all that a node reaches, as it was sent.
fn lacks_node(pulled: &Pulled, node: &impl Node) -> Vec<String> {
    let blobs = node.blobs().into_iter();
    let missing = blobs.filter(|blob| !pulled.has(blob));
    missing.map(|blob| blob.digest).collect()
}

/// What to write of a pull, which must have brought everything if the client says it has.
fn judge(pulled: &Pulled, lacks: &[String]) -> Cell {
    if !pulled.success {
        return Cell::failed(&pulled.said);
    }
    assert_eq!(lacks, [""; 0], "{}", pulled.said);
    Cell::Yes
}

impl Scene<'_> {
    fn tagged(&self, repository: &str) -> Reference {
        Reference::tag(self.server.authority(), repository, TAG)
    }
}
