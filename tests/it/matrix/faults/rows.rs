//! The faults of the table.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::scene::{Part, Scene, Site};
use crate::proxy::{Fault, Harm, answer};

/// How many bytes a layer has, if nothing else is said.
const USUAL: usize = 2 << 20;
/// More than what the system's buffers hold.
const LARGE: usize = 16 << 20;

/// How long something lasts.
const A_WHILE: Duration = Duration::from_secs(3);
/// Until then a client has what it fetches at the same time as a layer.
const MEANWHILE: Duration = Duration::from_secs(1);
/// How much of a layer is through when something happens: little, for the system's buffers take much of what follows.
const SOME: u64 = 500_000;

/// One row of the table.
pub(super) struct Row {
    /// What goes wrong.
    pub(super) what: String,
    /// How many bytes a file in the larger layer has.
    pub(super) size: usize,
    /// What the proxy does.
    pub(super) faults: Make,
}

/// Makes harm for something of that length.
type At = fn(u64) -> Harm;
/// Makes an answer that was not hoped for.
type Refusal = fn() -> Harm;
/// Makes faults for a scene.
type Make = Box<dyn Fn(&Scene) -> Vec<Fault> + Send + Sync>;

impl Row {
    fn new(
        what: impl Into<String>,
        faults: impl Fn(&Scene) -> Vec<Fault> + Send + Sync + 'static,
    ) -> Self {
        Self {
            what: what.into(),
            size: USUAL,
            faults: Box::new(faults),
        }
    }

    fn large(self) -> Self {
        Self {
            size: LARGE,
            ..self
        }
    }

    /// Whether anything goes wrong at all.
    pub(super) fn is_fault(&self) -> bool {
        self.what != "none"
    }
}

/// All rows, in their order.
pub(super) fn all() -> Vec<Row> {
    let mut rows = vec![Row::new("none", |_| Vec::new())];
    rows.extend(cuts());
    rows.extend(slowness());
    rows.extend(absences());
    rows.extend(changes());
    rows.extend(answers());
    rows
}

/// The connection ends, at every place that may matter.
fn cuts() -> Vec<Row> {
    let cut = |name: &str, part: Part, (place, harm): (&str, At)| {
        Row::new(format!("{name}: cut {place}"), move |scene| {
            vec![Fault::get(&scene.path(part), harm(scene.length(part)))]
        })
    };
    let places: [(&str, At); 6] = [
        ("after the head", |_| Harm::CutBody(0)),
        ("in the middle", |length| Harm::CutBody(length / 2)),
        ("in the head", |_| {
            Harm::CutHead("HTTP/1.1 200 OK\r\n".len())
        }),
        ("after the first byte", |_| Harm::CutBody(1)),
        ("before the last byte", |length| Harm::CutBody(length - 1)),
        ("after the last byte", Harm::CutBody),
    ];
    let parts = [
        ("manifest", Part::Manifest, 2),
        ("config", Part::Config, 2),
        ("layer", Part::Layer, places.len()),
    ];
    let mut rows = Vec::new();
    for (name, part, count) in parts {
        // Over a connection that has served before, most clients ask a second time unasked.
        rows.push(Row::new(
            format!("{name}: cut before the answer"),
            move |scene| {
                vec![
                    Fault::get(&scene.path(part), Harm::CutHead(0)),
                    Fault::any("/v2/", Harm::Last).always(),
                ]
            },
        ));
        rows.extend(places[..count].iter().map(|place| cut(name, part, *place)));
    }
    rows.push(Row::new("layer: cut after each 700 kB", |scene| {
        vec![Fault::get(&scene.path(Part::Layer), Harm::CutBody(700_000)).always()]
    }));
    rows
}

fn slowness() -> Vec<Row> {
    vec![
        Row::new("manifest: the answer comes after 3 s", |_| {
            let wait = Arc::new(|| thread::sleep(A_WHILE));
            vec![Fault::any("/manifests/", Harm::Before(wait))]
        }),
        Row::new("layer: nothing comes for 3 s", |scene| {
            layer(scene, Harm::stall(SOME, A_WHILE))
        }),
        Row::new("layer: 2 MB in a second", |scene| {
            layer(scene, Harm::Rate(2_000_000))
        }),
    ]
}

/// The server goes away in the middle of a layer, and is soon back.
fn absences() -> Vec<Row> {
    vec![
        Row::new("server: killed and started again", |scene| {
            layer(scene, in_the_middle(scene, Site::kill))
        })
        .large(),
        Row::new(
            "server: stopped, with transfers cut, and started again",
            |scene| layer(scene, in_the_middle(scene, Site::cut)),
        )
        .large(),
        Row::new(
            "server: stopped, with transfers ended, and started again",
            |scene| layer(scene, in_the_middle(scene, Site::stop)),
        ),
    ]
}

/// The archive does not stay what it was when the manifest was read.
fn changes() -> Vec<Row> {
    vec![
        Row::new("archive: removed before the layer", |scene| {
            layer(scene, before(scene, |site| site.remove()))
        }),
        Row::new(
            "archive: replaced by another image before the layer",
            |scene| layer(scene, before(scene, |site| site.replace())),
        ),
        Row::new(
            "archive: another with the same image before the layer",
            |scene| layer(scene, before(scene, |site| site.rename())),
        ),
        Row::new("archive: removed in the middle of the layer", |scene| {
            layer(scene, in_the_middle(scene, |site| site.remove()))
        }),
        Row::new("archive: overwritten in the middle of the layer", |scene| {
            layer(scene, in_the_middle(scene, |site| site.overwrite()))
        })
        .large(),
        Row::new(
            "layer: cut in the middle, and another archive with the same image then",
            |scene| {
                let path = scene.path(Part::Layer);
                vec![
                    Fault::get(&path, Harm::CutBody(SOME)),
                    Fault::get(&path, before(scene, |site| site.rename())).turns(1..2),
                ]
            },
        ),
    ]
}

/// Another answer than the one that was hoped for.
fn answers() -> Vec<Row> {
    let busy = || {
        let body = r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"too many requests"}]}"#;
        let headers = [("Retry-After", "1"), ("Content-Type", "application/json")];
        Harm::Instead(answer("429 Too Many Requests", &headers, body))
    };
    let unavailable = || {
        let headers = [
            ("Retry-After", "1"),
            ("Content-Type", "text/plain; charset=utf-8"),
        ];
        Harm::Instead(answer("503 Service Unavailable", &headers, "try again\n"))
    };
    let broken = || Harm::Instead(answer("500 Internal Server Error", &[], ""));
    let unsatisfiable = || Harm::Instead(answer("416 Range Not Satisfiable", &[], ""));
    let refusals: [(&str, Refusal); 3] = [
        ("503 with `Retry-After`", unavailable),
        ("429 with `Retry-After`", busy),
        ("500", broken),
    ];
    let mut rows = Vec::new();
    for (name, part) in [("manifest", Part::Manifest), ("layer", Part::Layer)] {
        let once = refusals.iter().map(|&(what, harm)| {
            Row::new(format!("{name}: {what}, once"), move |scene| {
                vec![Fault::get(&scene.path(part), harm())]
            })
        });
        rows.extend(once);
        let lasting = refusals[..2].iter().map(|&(what, harm)| {
            Row::new(format!("{name}: {what}, for 3 s"), move |scene| {
                vec![Fault::any(&scene.path(part), harm()).within(A_WHILE)]
            })
        });
        rows.extend(lasting);
    }
    rows.push(Row::new(
        "layer: cut in the middle, and 416 then",
        move |scene| cut_and_then(scene, unsatisfiable()),
    ));
    rows.push(Row::new(
        "layer: cut in the middle, and the whole then",
        |scene| cut_and_then(scene, Harm::WithoutRange),
    ));
    rows
}

fn layer(scene: &Scene, harm: Harm) -> Vec<Fault> {
    vec![Fault::get(&scene.path(Part::Layer), harm)]
}

/// A cut, and harm to the answer to whoever asks for the rest.
fn cut_and_then(scene: &Scene, harm: Harm) -> Vec<Fault> {
    let path = scene.path(Part::Layer);
    vec![
        Fault::get(&path, Harm::CutBody(SOME)),
        Fault::get(&path, harm).only_ranges(),
    ]
}

/// Something happens when a part of the layer is through.
fn in_the_middle(scene: &Scene, event: fn(&Arc<Site>)) -> Harm {
    let site = Arc::clone(&scene.site);
    let later = move || {
        thread::sleep(MEANWHILE);
        event(&site);
    };
    Harm::At(SOME, Arc::new(later))
}

/// Something happens between a request and its answer.
fn before(scene: &Scene, event: fn(&Arc<Site>)) -> Harm {
    let site = Arc::clone(&scene.site);
    Harm::Before(Arc::new(move || event(&site)))
}
