//! Platforms.

use std::fmt;
use std::sync::{Arc, LazyLock};

use serde::Deserialize;

use super::json;

/// The platform of an image, as a descriptor or a configuration tells it
/// ([image-index.md](https://github.com/opencontainers/image-spec/blob/main/image-index.md#image-index-property-descriptions)).
///
/// `Display` gives the form that clients take: `linux/arm64/v8`, or `windows(10.0.17763.1)/amd64`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
pub struct Platform {
    /// Operating system, such as `linux`.
    #[serde(default, deserialize_with = "json::word")]
    pub os: String,
    /// Processor architecture in Go's words, such as `amd64`.
    #[serde(default, deserialize_with = "json::word")]
    pub architecture: String,
    /// Variant of the architecture, such as `v7`.
    #[serde(default, deserialize_with = "json::word")]
    pub variant: String,
    /// Version of the operating system, where that matters, as for Windows.
    #[serde(rename = "os.version", default, deserialize_with = "json::word")]
    pub os_version: String,
    /// What the operating system has to offer.
    #[serde(rename = "os.features", default, deserialize_with = "json::words")]
    pub os_features: Vec<String>,
}

/// The platforms that nearly all images are for: a catalog of many images holds each of these once.
static USUAL: LazyLock<Vec<Arc<Platform>>> = LazyLock::new(|| {
    let platform = |(architecture, variant): (&str, &str)| Platform {
        os: "linux".to_owned(),
        architecture: architecture.to_owned(),
        variant: variant.to_owned(),
        ..Platform::default()
    };
    let usual = [
        ("amd64", ""),
        ("arm64", ""),
        ("arm64", "v8"),
        ("arm", "v7"),
        ("arm", "v6"),
        ("arm", "v5"),
        ("386", ""),
        ("ppc64le", ""),
        ("s390x", ""),
        ("riscv64", ""),
        ("mips64le", ""),
        ("loong64", ""),
    ];
    usual.into_iter().map(platform).map(Arc::new).collect()
});

impl Platform {
    /// The same platform, in memory that is shared if it is a usual one.
    pub fn shared(&self) -> Arc<Self> {
        let usual = USUAL.iter().find(|usual| ***usual == *self);
        usual.map_or_else(|| Arc::new(self.clone()), Arc::clone)
    }

    /// Whether this names a platform that something can run on. Attestations are
    /// `unknown/unknown`; artifacts have none. Without an operating system, it is Linux.
    pub fn is_real(&self) -> bool {
        !self.architecture.is_empty() && self.architecture != "unknown" && self.os != "unknown"
    }

    /// The same platform in the one spelling that tells whether two are the same: architectures in Go's
    /// words, and the variants spelled out that are meant where none is told
    /// ([containerd's rules](https://github.com/containerd/platforms/blob/main/database.go)).
    #[must_use]
    pub fn normalized(&self) -> Self {
        let os = match self.os.to_ascii_lowercase() {
            os if os.is_empty() => "linux".to_owned(),
            os => os,
        };
        let variant = self.variant.to_ascii_lowercase();
        let (architecture, variant) = match (
            self.architecture.to_ascii_lowercase().as_str(),
            variant.as_str(),
        ) {
            ("x86_64" | "x86-64" | "amd64", "v1") => ("amd64".to_owned(), String::new()),
            ("x86_64" | "x86-64", variant) => ("amd64".to_owned(), variant.to_owned()),
            ("i386" | "i486" | "i586" | "i686", _) => ("386".to_owned(), String::new()),
            ("arm", "5") => ("arm".to_owned(), "v5".to_owned()),
            ("arm", "8") => ("arm".to_owned(), "v8".to_owned()),
            ("aarch64" | "arm64", "" | "8" | "v8") => ("arm64".to_owned(), "v8".to_owned()),
            ("aarch64", variant) => ("arm64".to_owned(), variant.to_owned()),
            ("armhf", _) | ("arm", "" | "7") => ("arm".to_owned(), "v7".to_owned()),
            ("armel", _) | ("arm", "6") => ("arm".to_owned(), "v6".to_owned()),
            (architecture, variant) => (architecture.to_owned(), variant.to_owned()),
        };
        let mut os_features = self.os_features.clone();
        os_features.sort();
        Self {
            os,
            architecture,
            variant,
            os_version: self.os_version.clone(),
            os_features,
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let os = if self.os.is_empty() {
            "linux"
        } else {
            &self.os
        };
        f.write_str(os)?;
        if !self.os_version.is_empty() {
            write!(f, "({})", self.os_version)?;
        }
        write!(f, "/{}", self.architecture)?;
        if !self.variant.is_empty() {
            write!(f, "/{}", self.variant)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn platform(json: &str) -> Platform {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn one_platform_has_one_spelling() {
        let check = |json: &str, expected: &str| {
            assert_eq!(platform(json).normalized().to_string(), expected, "{json}");
        };
        check(r#"{"os":"Linux","architecture":"x86_64"}"#, "linux/amd64");
        check(r#"{"architecture":"aarch64"}"#, "linux/arm64/v8");
        check(r#"{"architecture":"amd64","variant":"v1"}"#, "linux/amd64");
        check(r#"{"architecture":"i386"}"#, "linux/386");
        check(r#"{"architecture":"arm","variant":"5"}"#, "linux/arm/v5");
        check(r#"{"os":"linux","architecture":"arm64"}"#, "linux/arm64/v8");
        check(
            r#"{"os":"linux","architecture":"arm64","variant":"v8"}"#,
            "linux/arm64/v8",
        );
        check(
            r#"{"os":"linux","architecture":"arm64","variant":"v9"}"#,
            "linux/arm64/v9",
        );
        check(
            r#"{"os":"linux","architecture":"arm","variant":null}"#,
            "linux/arm/v7",
        );
        check(r#"{"os":"linux","architecture":"armhf"}"#, "linux/arm/v7");
        check(
            r#"{"os":"linux","architecture":"arm","variant":"v6"}"#,
            "linux/arm/v6",
        );
        let windows = r#"{"os":"windows","architecture":"amd64","os.version":"10.0.17763.1","os.features":["b","a"]}"#;
        check(windows, "windows(10.0.17763.1)/amd64");
        assert_eq!(platform(windows).normalized().os_features, ["a", "b"]);
    }

    #[test]
    fn attestations_and_artifacts_have_no_platform() {
        assert!(platform(r#"{"os":"linux","architecture":"amd64"}"#).is_real());
        assert!(platform(r#"{"architecture":"amd64"}"#).is_real());
        for json in [
            "{}",
            r#"{"os":"linux"}"#,
            r#"{"os":"unknown","architecture":"unknown"}"#,
        ] {
            assert!(!platform(json).is_real(), "{json}");
        }
    }
}
