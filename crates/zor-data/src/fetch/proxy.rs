//! Proxy settings, and plain HTTP requests through a proxy in absolute form (RFC 9112, section
//! 3.2.2), which every proxy accepts.
//!
//! The HTTP client would open a tunnel (CONNECT) instead, which proxies usually allow to port 443
//! only. HTTPS, on that port, uses such a tunnel.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use crate::error::shown;
use crate::fetch::address::{Scheme, authority};
use crate::fetch::answer::{Answer, CONNECT};

/// Timeout of a single read or write.
const IO_TIMEOUT: Duration = Duration::from_secs(60);
/// Maximum size of a response header, in bytes.
const MAX_HEAD: u64 = 1 << 16;

/// Proxy settings by scheme and host.
#[derive(Clone, Debug, Default)]
pub(crate) struct Proxies {
    /// Proxy for `http` URLs, `http://user:password@host:port`; all parts but the host are
    /// optional.
    pub(crate) http: Option<String>,
    /// Proxy for `https` URLs, in the same form.
    pub(crate) https: Option<String>,
    /// Hosts and domains that are reached without a proxy, separated by commas or spaces.
    pub(crate) except: String,
}

/// A proxy.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Proxy {
    host: String,
    port: u16,
    /// User name and password, `user:password`.
    credentials: Option<Vec<u8>>,
}

impl Proxies {
    /// Reads `http_proxy` and `https_proxy`, or `all_proxy` where these are not set, and
    /// `no_proxy`, in lower or upper case.
    pub(crate) fn from_environment() -> Self {
        let first = |names: &[&str]| {
            names.iter().filter_map(|name| std::env::var(name).ok()).find(|value| !value.is_empty())
        };
        Self {
            http: first(&["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"]),
            https: first(&["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]),
            except: first(&["no_proxy", "NO_PROXY"]).unwrap_or_default(),
        }
    }

    /// Returns the proxy for a URL; `None` if it is reached directly.
    ///
    /// # Errors
    /// When the proxy's own address is invalid.
    pub(crate) fn of(&self, address: &str) -> Result<Option<Proxy>, String> {
        let Some((scheme, rest)) = Scheme::of(address) else { return Ok(None) };
        let (proxy, variable) = match scheme {
            Scheme::Http => (&self.http, "http_proxy"),
            Scheme::Https => (&self.https, "https_proxy"),
        };
        match proxy {
            Some(proxy) if !self.excepted(host_and_port(authority(rest)).0) => {
                Proxy::parse(proxy, variable).map(Some)
            }
            _ => Ok(None),
        }
    }

    fn excepted(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        let entries = self.except.split([',', ' ']).filter(|entry| !entry.is_empty());
        entries.map(|entry| host_and_port(entry).0.to_ascii_lowercase()).any(|entry| {
            let domain = entry.trim_start_matches('*').trim_start_matches('.');
            entry == "*"
                || host == domain
                || host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'))
                    && !domain.is_empty()
        })
    }
}

impl Proxy {
    /// Parses a proxy's address. Messages name its environment variable.
    fn parse(address: &str, variable: &str) -> Result<Self, String> {
        let (scheme, rest) = address.split_once("://").unwrap_or(("http", address));
        if !scheme.eq_ignore_ascii_case("http") {
            return Err(format!(
                "proxies of kind {} are not supported; set {variable} to an http proxy",
                shown(scheme)
            ));
        }
        let authority = authority(rest);
        let (credentials, place) = match authority.rsplit_once('@') {
            Some((credentials, place)) => (Some(percent_decoded(credentials)), place),
            None => (None, authority),
        };
        match host_and_port(place) {
            ("", _) | (_, Some(Err(()))) => {
                Err(format!("the proxy address in {variable} is not of the form http://host:port"))
            }
            (host, port) => {
                let port = port.and_then(Result::ok).unwrap_or(80);
                Ok(Self { host: host.to_owned(), port, credentials })
            }
        }
    }

    /// Requests the bytes of an `http` URL from an offset on.
    ///
    /// # Errors
    /// When there is no response; the message gives the reason.
    pub(crate) fn get(&self, address: &str, from: u64) -> Result<Answer, String> {
        self.ask(address, from).map_err(|error| format!("the proxy {}: {error}", self.said()))
    }

    /// Returns the proxy in the HTTP client's form, for tunnels.
    ///
    /// # Errors
    /// When the client does not accept its host, user name or password.
    pub(crate) fn tunnel(&self) -> Result<ureq::Proxy, String> {
        let refused =
            || format!("the proxy {}: its user name or password is not text", self.said());
        let host = match self.host.contains(':') {
            true => format!("[{}]", self.host),
            false => self.host.clone(),
        };
        let mut proxy = ureq::Proxy::builder(ureq::ProxyProtocol::Http).host(&host).port(self.port);
        if let Some(credentials) = &self.credentials {
            let credentials = std::str::from_utf8(credentials).map_err(|_| refused())?;
            let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
            proxy = proxy.username(user).password(password);
        }
        proxy.build().map_err(|_| refused())
    }

    /// Formats the proxy for messages, without the password.
    pub(crate) fn said(&self) -> String {
        shown(format!("{}:{}", self.host, self.port))
    }

    fn ask(&self, address: &str, from: u64) -> std::io::Result<Answer> {
        let damaged = || std::io::Error::other("its response is not HTTP");
        let rest = Scheme::of(address).map_or(address, |(_, rest)| rest);
        let mut stream = self.connect()?;
        let mut head = format!(
            "GET {address} HTTP/1.0\r\nHost: {}\r\nUser-Agent: zor\r\nAccept: */*\r\nConnection: close\r\n",
            authority(rest)
        );
        if from > 0 {
            head += &format!("Range: bytes={from}-\r\n");
        }
        if let Some(credentials) = &self.credentials {
            head += &format!("Proxy-Authorization: Basic {}\r\n", base64(credentials));
        }
        stream.write_all((head + "\r\n").as_bytes())?;
        let mut reader = BufReader::new(stream);
        let mut lines = Vec::new();
        let mut rest = reader.by_ref().take(MAX_HEAD);
        loop {
            let mut line = Vec::new();
            rest.read_until(b'\n', &mut line)?;
            match String::from_utf8_lossy(&line).trim_end() {
                "" if line.ends_with(b"\n") => break,
                "" => return Err(damaged()),
                text => lines.push(text.to_owned()),
            }
        }
        let (first, fields) = lines.split_first().ok_or_else(damaged)?;
        let said = first.strip_prefix("HTTP/").and_then(|line| line.split_once(' '));
        let said = said.ok_or_else(damaged)?.1;
        let status = said.get(..3).and_then(|status| status.parse().ok()).ok_or_else(damaged)?;
        let field = |name: &str| {
            let of = |line: &String| {
                let (key, value) = line.split_once(':')?;
                key.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
            };
            fields.iter().find_map(of)
        };
        // A response to HTTP/1.0 is not chunked.
        if field("transfer-encoding").is_some() {
            return Err(damaged());
        }
        let length = field("content-length").and_then(|length| length.parse().ok());
        let said = format!("{} through the proxy {}", shown(said), self.said());
        let body: Box<dyn Read> = Box::new(reader.take(length.unwrap_or(u64::MAX)));
        Ok(Answer { status, said, length, location: field("location"), body })
    }

    fn connect(&self) -> std::io::Result<TcpStream> {
        let mut last = std::io::Error::other("its host name has no address");
        for address in (self.host.as_str(), self.port).to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, CONNECT) {
                Ok(stream) => {
                    stream.set_read_timeout(Some(IO_TIMEOUT))?;
                    stream.set_write_timeout(Some(IO_TIMEOUT))?;
                    return Ok(stream);
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

/// Splits host and port. The port is an error if it is not a number from 0 to 65,535.
fn host_and_port(authority: &str) -> (&str, Option<Result<u16, ()>>) {
    let (host, port) = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, rest)) => (host, rest.strip_prefix(':')),
        None => match authority.split_once(':') {
            // An IPv6 address without brackets has no port.
            Some((_, rest)) if rest.contains(':') => (authority, None),
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    (host, port.map(|port| port.parse().map_err(|_| ())))
}

/// Decodes percent-encoding. Invalid sequences are kept.
fn percent_decoded(text: &str) -> Vec<u8> {
    let (bytes, mut at, mut decoded) = (text.as_bytes(), 0, Vec::new());
    while at < bytes.len() {
        let digits = bytes.get(at + 1..at + 3).and_then(|two| std::str::from_utf8(two).ok());
        let byte =
            digits.filter(|_| bytes[at] == b'%').and_then(|two| u8::from_str_radix(two, 16).ok());
        decoded.push(byte.unwrap_or(bytes[at]));
        at += if byte.is_some() { 3 } else { 1 };
    }
    decoded
}

/// Encodes bytes as base 64 with padding (RFC 4648, section 4).
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let number =
            (0..3).fold(0usize, |sum, at| sum << 8 | usize::from(*three.get(at).unwrap_or(&0)));
        for at in 0..4 {
            let letter = char::from(LETTERS[number >> (18 - 6 * at) & 63]);
            text.push(if at > three.len() { '=' } else { letter });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_named_in_the_usual_ways() {
        let proxy = |address: &str| Proxy::parse(address, "http_proxy");
        let at = |host: &str, port, credentials: Option<&str>| {
            Ok(Proxy { host: host.into(), port, credentials: credentials.map(Into::into) })
        };
        assert_eq!(proxy("http://squid:3128/"), at("squid", 3128, None));
        assert_eq!(proxy("squid"), at("squid", 80, None));
        assert_eq!(proxy("http://[::1]:8080"), at("::1", 8080, None));
        let credentials = Some("Aladdin:open ses@me");
        assert_eq!(proxy("http://Aladdin:open%20ses%40me@squid:1"), at("squid", 1, credentials));
        assert!(proxy("socks5://squid:1080").unwrap_err().contains("kind socks5"));
        for wrong in ["http://", "http://squid:port", "http://user:secret@squid:99999"] {
            let message = proxy(wrong).unwrap_err();
            assert!(message.contains("http_proxy") && !message.contains("secret"), "{message}");
        }
        assert_eq!([b"".as_slice(), b"f", b"fo", b"foo"].map(base64), ["", "Zg==", "Zm8=", "Zm9v"]);
    }

    #[test]
    fn https_has_a_proxy_of_its_own() {
        let (http, https) = (Some("plain:1".to_owned()), Some("socks5://safe:2".to_owned()));
        let proxies = Proxies { http, https, ..Proxies::default() };
        assert_eq!(proxies.of("http://data.org").unwrap().unwrap().host, "plain");
        let message = proxies.of("https://data.org").unwrap_err();
        assert!(message.contains("set https_proxy"), "{message}");
        let proxies = Proxies { except: "data.org".to_owned(), ..proxies };
        assert!(proxies.of("https://data.org/file").unwrap().is_none());
    }

    #[test]
    fn tunnels_keep_name_and_password() {
        let tunnel = |address| Proxy::parse(address, "https_proxy").unwrap().tunnel();
        let found = tunnel("http://me:a%3Ab%2F@[::1]:8080").unwrap();
        assert_eq!((found.host(), found.port()), ("[::1]", 8080));
        assert_eq!((found.username(), found.password()), (Some("me"), Some("a:b/")));
        assert_eq!(tunnel("squid").unwrap().username(), None);
        assert!(tunnel("http://me:%ff@squid").unwrap_err().contains("not text"));
    }

    #[test]
    fn excepted_hosts_are_reached_without_it() {
        let through = |except: &str, address: &str| {
            let http = Some("squid:1".to_owned());
            let proxies = Proxies { http, except: except.to_owned(), ..Proxies::default() };
            proxies.of(address).unwrap().is_some()
        };
        assert!(through("", "http://data.org/file"));
        for except in ["*", "data.org", ".org, x", "x,*.data.org", "DATA.org:80", "a b data.org"] {
            assert!(!through(except, "http://www.data.org:8080/file"), "{except}");
        }
        assert!(!through("localhost,127.0.0.1", "http://127.0.0.1:8080/file"));
        assert!(!through("::1", "http://[::1]:8080/file"));
        assert!(through("ata.org,data.com,,.", "http://data.org/file"));
        assert!(Proxies::default().of("http://data.org").unwrap().is_none());
    }
}
