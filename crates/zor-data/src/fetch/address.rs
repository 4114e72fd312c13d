//! Parts of a URL.

/// The scheme of a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    Http,
    Https,
}

impl Scheme {
    /// Splits a URL into its scheme and the rest behind `://`. `None` for other schemes.
    pub(crate) fn of(address: &str) -> Option<(Self, &str)> {
        let (scheme, rest) = address.split_once("://")?;
        match scheme.to_ascii_lowercase().as_str() {
            "http" => Some((Self::Http, rest)),
            "https" => Some((Self::Https, rest)),
            _ => None,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// The authority (`user:password@host:port`) of a URL without its scheme.
pub(crate) fn authority(rest: &str) -> &str {
    rest.split(['/', '?', '#']).next().unwrap_or_default()
}
