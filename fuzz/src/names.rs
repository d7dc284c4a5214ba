//! What must be true of any name that was read: its text gives the same name again.

use packageorigin::oci::{Host, Name, Reference, Tag};

/// A reference is read back from its full form.
pub fn check_reference(reference: &Reference) {
    check_host(&reference.host);
    check_name(&reference.path);
    if let Some(tag) = &reference.tag {
        check_tag(tag);
    }
    let text = reference.to_string();
    // Any other host was told by a capital, and none is left in the text.
    if is_host_by_itself(&reference.host) {
        assert_eq!(text.parse().as_ref(), Ok(reference), "{text}");
    }
}

/// Whether a text with this host in front is read as one with a host.
fn is_host_by_itself(host: &Host) -> bool {
    host.as_str() == Host::LOCALHOST || host.as_str().contains(['.', ':'])
}

/// A host is read back from its text, and its form without a port has none.
pub fn check_host(host: &Host) {
    assert_eq!(host.as_str().parse().as_ref(), Ok(host));
    assert_eq!(host.to_string(), host.as_str());
    let bare = host.without_port();
    assert!(
        bare.ends_with(']') || !bare.contains(':'),
        "{bare} has a port"
    );
}

/// A repository name is read back from its text.
pub fn check_name(name: &Name) {
    assert_eq!(name.as_str().parse().as_ref(), Ok(name));
    assert_eq!(name.to_string(), name.as_str());
}

/// A tag is read back from its text.
pub fn check_tag(tag: &Tag) {
    assert_eq!(tag.as_str().parse().as_ref(), Ok(tag));
    assert_eq!(tag.to_string(), tag.as_str());
}
