//! Every rule, on candidates that are made by hand. What is expected is told in one line (see [`told`]), and holds in
//! whatever order the candidates are given.

use super::*;
use crate::archive::{Document, Lacking, PlatformImage};
use crate::oci::MediaType;

const OLD: &str = "2023-01-01T00:00:00Z";
const NEW: &str = "2024-01-01T00:00:00Z";

/// A candidate and what it is made of.
struct Sample {
    name: &'static str,
    image: Image,
    found: Found,
    file_name: String,
}

impl Sample {
    fn new(name: &'static str, media_type: MediaType, children: &[&str]) -> Self {
        let root = digest(name);
        let mut all: Vec<Digest> = children.iter().map(|child| digest(child)).collect();
        all.push(root.clone());
        all.sort();
        all.dedup();
        let position = |digest: &Digest| u32::try_from(all.binary_search(digest).unwrap()).unwrap();
        let mut references: Vec<u32> = children
            .iter()
            .map(|child| position(&digest(child)))
            .collect();
        references.sort_unstable();
        let document = Document {
            position: position(&root),
            media_type,
            references: 0,
            referrer: None,
        };
        let role = |digest: &Digest| {
            if *digest == root {
                Role::Blob
            } else {
                Role::Manifest
            }
        };
        let lacking = |digest: &Digest| Lacking {
            digest: digest.clone(),
            size: 1,
            role: role(digest),
        };
        let mut found = Found::default();
        found.documents = Box::new([document]);
        found.references = references.into();
        found.lacking = all.iter().map(lacking).collect();
        Self {
            name,
            found,
            image: Image {
                root,
                names: Box::default(),
                created: None,
                platforms: Box::default(),
                size: 1,
                is_made: false,
            },
            file_name: String::new(),
        }
    }

    fn created(mut self, created: &str) -> Self {
        self.image.created = Some(created.parse().unwrap());
        self
    }

    fn file(mut self, name: &str) -> Self {
        name.clone_into(&mut self.file_name);
        self
    }

    /// Sets what its configuration, or those of its children, say that it is for.
    fn platforms(mut self, platforms: &[&str]) -> Self {
        let image = |text: &&str| PlatformImage {
            platform: platform(text).shared(),
            digest: digest(text),
        };
        self.image.platforms = platforms.iter().map(image).collect();
        self
    }
}

fn digest(name: &str) -> Digest {
    Digest::sha256(name.as_bytes())
}

/// Reads `os/architecture/variant@version+feature+feature`, of which everything may be left out.
fn platform(text: &str) -> Platform {
    let mut features = text.split('+').map(str::to_owned);
    let text = features.next().unwrap();
    let (text, os_version) = text.split_once('@').unwrap_or((&text, ""));
    let mut parts = text.split('/').map(str::to_owned);
    Platform {
        os: parts.next().unwrap_or_default(),
        architecture: parts.next().unwrap_or_default(),
        variant: parts.next().unwrap_or_default(),
        os_version: os_version.to_owned(),
        os_features: features.collect(),
    }
}

fn single(name: &'static str, platform: &str) -> Sample {
    Sample::new(name, MediaType::OCI_MANIFEST, &[]).platforms(&[platform])
}

fn artifact(name: &'static str) -> Sample {
    Sample::new(name, MediaType::OCI_MANIFEST, &[])
}

fn index(name: &'static str, children: &[&str], platforms: &[&str]) -> Sample {
    Sample::new(name, MediaType::OCI_INDEX, children).platforms(platforms)
}

fn candidate(sample: &Sample) -> Candidate<'_> {
    Candidate {
        copies: vec![(&sample.image, &sample.found)],
        file_name: sample.file_name.clone(),
    }
}

/// The decision in words: the one image or those of the index in brackets, then `LOSER<WINNER` for each conflict and
/// `SINGLE~INDEX` for each that is shadowed.
fn told(decision: &Decision, names: &[&str]) -> String {
    let mut words = vec![match &decision.choice {
        Choice::One(one) => names[*one].to_owned(),
        Choice::Index(parts) => {
            let parts: Vec<&str> = parts.iter().map(|part| names[*part]).collect();
            format!("[{}]", parts.join(" "))
        }
    }];
    let pairs = |pairs: &[(usize, usize)], sign: &str| {
        let pairs = pairs.iter();
        let mut pairs: Vec<String> = pairs
            .map(|(a, b)| format!("{}{sign}{}", names[*a], names[*b]))
            .collect();
        pairs.sort();
        pairs
    };
    words.extend(pairs(&decision.losers, "<"));
    words.extend(pairs(&decision.shadowed, "~"));
    words.join(" ")
}

/// All orders of the numbers below `count`.
fn orders(count: usize) -> Vec<Vec<usize>> {
    (0..count).fold(vec![Vec::new()], |orders, number| {
        let with = |order: &Vec<usize>, at: usize| {
            let mut order = order.clone();
            order.insert(at, number);
            order
        };
        let longer =
            |order: &Vec<usize>| (0..=number).map(|at| with(order, at)).collect::<Vec<_>>();
        orders.iter().flat_map(longer).collect()
    })
}

fn check(samples: &[Sample], expected: &str) {
    for order in orders(samples.len()) {
        let candidates: Vec<_> = order.iter().map(|at| candidate(&samples[*at])).collect();
        let names: Vec<&str> = order.iter().map(|at| samples[*at].name).collect();
        assert_eq!(told(&decide(&candidates), &names), expected, "{names:?}");
    }
}

#[test]
fn whoever_is_alone_has_the_tag() {
    check(&[single("a", "linux/amd64")], "a");
    check(&[artifact("a")], "a");
    check(&[index("i", &[], &[])], "i");
}

#[test]
fn images_for_different_platforms_become_an_index() {
    let check = |platforms: &[&str], expected| {
        let names = ["a", "b", "c", "d"];
        let samples = names.into_iter().zip(platforms);
        let samples: Vec<_> = samples
            .map(|(name, platform)| single(name, platform))
            .collect();
        check(&samples, expected);
    };
    check(&["linux/amd64", "linux/arm64"], "[a b]");
    check(
        &[
            "linux/arm/v6",
            "linux/arm/v7",
            "linux/s390x",
            "freebsd/amd64",
        ],
        "[d a b c]",
    );
    check(&["windows/amd64@10.0.1", "windows/amd64@10.0.2"], "[a b]");
    check(&["linux/amd64/v1", "linux/amd64/v2"], "[a b]");
    check(
        &["windows/amd64@10.0.1", "windows/amd64@10.0.1+win32k"],
        "[a b]",
    );
}

#[test]
fn one_platform_has_one_place_however_it_is_spelled() {
    let spellings = [
        ("linux/amd64", "linux/x86_64"),
        ("linux/amd64", "Linux/AMD64"),
        ("linux/amd64", "/amd64"),
        ("linux/arm64", "linux/aarch64"),
        ("linux/arm64", "linux/arm64/v8"),
        ("linux/arm", "linux/armhf"),
        ("linux/arm", "linux/arm/v7"),
        ("windows/amd64@1+a+b", "windows/amd64@1+b+a"),
    ];
    for (first, second) in spellings {
        let samples = [
            single("a", first).created(OLD),
            single("b", second).created(NEW),
        ];
        check(&samples, "b a<b");
    }
}

#[test]
fn of_one_platform_the_newest_image_wins() {
    let rivals = |a: Sample, b: Sample| [a, b];
    let of = |name, created: &str| single(name, "linux/amd64").created(created);
    check(
        &rivals(of("a", OLD).file("z"), of("b", NEW).file("a")),
        "b a<b",
    );
    // An hour later on the clock, and an hour earlier in truth.
    check(
        &rivals(of("a", "2024-01-01T01:00:00+02:00"), of("b", NEW)),
        "b a<b",
    );
    check(
        &rivals(single("a", "linux/amd64").file("z"), of("b", OLD).file("a")),
        "b a<b",
    );
}

#[test]
fn of_one_age_the_greatest_file_name_wins_and_then_the_greatest_digest() {
    let of = |name, file: &str| single(name, "linux/amd64").created(OLD).file(file);
    check(&[of("a", "app-9.tar"), of("b", "app-10.tar")], "b a<b");
    check(&[of("a", "app-10.tar"), of("b", "app-9.tar")], "a b<a");
    let greatest = ["a", "b", "c"]
        .into_iter()
        .max_by_key(|name| digest(name))
        .unwrap();
    let same = ["a", "b", "c"].map(|name| of(name, "app.tar"));
    let lost = ["a", "b", "c"].into_iter().filter(|name| *name != greatest);
    let lost: Vec<String> = lost.map(|name| format!("{name}<{greatest}")).collect();
    check(&same, &format!("{greatest} {}", lost.join(" ")));
}

#[test]
fn a_conflict_for_one_platform_leaves_the_others_in_the_index() {
    let samples = [
        single("old", "linux/amd64").created(OLD),
        single("new", "linux/amd64").created(NEW),
        single("arm", "linux/arm64").created(OLD),
    ];
    check(&samples, "[new arm] old<new");
}

#[test]
fn an_image_that_an_index_lists_is_part_of_it() {
    let child = || single("child", "linux/amd64").created(NEW);
    check(
        &[
            index("i", &["child"], &["linux/amd64"]).created(OLD),
            child(),
        ],
        "i",
    );
    // Whatever the index is for: its child may say another thing than its configuration.
    check(
        &[
            index("i", &["child"], &["linux/arm64"]).created(OLD),
            child(),
        ],
        "i",
    );
    check(
        &[
            index("i", &["child"], &["linux/amd64"]).created(OLD),
            index("j", &[], &["linux/amd64"]).created(NEW),
            child(),
        ],
        "j i<j",
    );
}

#[test]
fn an_index_without_any_of_its_manifests_is_still_one() {
    let child = single("child", "linux/amd64").created(NEW);
    check(&[index("i", &["child"], &[]), child], "i");
}

#[test]
fn an_index_goes_before_images_for_its_platforms() {
    let samples = [
        index("i", &["x", "y"], &["linux/amd64", "linux/arm64"]).created(OLD),
        single("a", "linux/x86_64").created(NEW),
        single("b", "linux/arm64/v8").created(NEW),
    ];
    check(&samples, "i a~i b~i");
}

#[test]
fn an_image_for_a_platform_that_the_index_lacks_is_its_rival() {
    let of = |created: [&str; 2]| {
        [
            index("i", &["x"], &["linux/amd64"]).created(created[0]),
            single("a", "linux/arm64").created(created[1]),
        ]
    };
    check(&of([NEW, OLD]), "i a<i");
    check(&of([OLD, NEW]), "a i<a");
    let with_shadowed = |created: [&str; 2]| {
        let [index, rival] = of(created);
        [index, rival, single("b", "linux/amd64").created(NEW)]
    };
    check(&with_shadowed([NEW, OLD]), "i a<i b~i");
    // Nobody's shadow: the index has not got the tag.
    check(&with_shadowed([OLD, NEW]), "a b<a i<a");
}

#[test]
fn two_indexes_are_never_merged() {
    let samples = [
        index("i", &["x"], &["linux/amd64"]).created(NEW),
        index("j", &["y"], &["linux/arm64"]).created(OLD),
        single("a", "linux/s390x").created(OLD),
    ];
    check(&samples, "i a<i j<i");
}

#[test]
fn nothing_is_put_together_with_what_is_no_image_for_a_platform() {
    let signature = || artifact("sig");
    check(
        &[single("a", "linux/amd64").created(OLD), signature()],
        "a sig<a",
    );
    check(
        &[
            index("i", &["x"], &["linux/amd64"]).created(OLD),
            signature(),
        ],
        "i sig<i",
    );
    let list = index("list", &[], &[]);
    check(&[single("a", "linux/amd64").created(OLD), list], "a list<a");
    let (first, second) = (artifact("sig").file("1"), artifact("att").file("2"));
    check(&[first, second], "att sig<att");
}

/// Two archives hold one digest, and each shows another part of it.
#[test]
fn what_one_archive_lacks_another_one_tells() {
    let halves = [
        index("i", &["x", "y"], &["linux/amd64"]).created(OLD),
        index("i", &["x", "y"], &["linux/arm64"]).created(NEW),
    ];
    let index = Candidate {
        copies: halves
            .iter()
            .map(|half| (&half.image, &half.found))
            .collect(),
        file_name: String::new(),
    };
    let arm = single("arm", "linux/arm64").created(NEW);
    let decision = decide(&[index, candidate(&arm)]);
    assert_eq!(told(&decision, &["i", "arm"]), "i arm~i");

    // The configuration that tells the platform is damaged in the first.
    let halves = [artifact("a"), single("a", "linux/amd64")];
    let single_image = Candidate {
        copies: halves
            .iter()
            .map(|half| (&half.image, &half.found))
            .collect(),
        file_name: String::new(),
    };
    let decision = decide(&[single_image, candidate(&arm)]);
    assert_eq!(told(&decision, &["a", "arm"]), "[a arm]");
}
