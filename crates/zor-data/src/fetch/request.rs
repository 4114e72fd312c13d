//! Requests over HTTP and HTTPS that follow redirections.
//!
//! Each redirection is a separate request, through the proxy of its own URL. HTTPS needs the
//! feature `https`.

use std::time::Instant;

use crate::error::shown;
use crate::fetch::address::{Scheme, authority};
use crate::fetch::answer::{Answer, CONNECT};
use crate::fetch::proxy::{Proxies, Proxy};

/// Maximum number of redirections of a request.
const MAX_REDIRECTIONS: usize = 10;

/// Requests the bytes of a URL from an offset on, and follows redirections.
///
/// # Errors
/// When there is no response; the message gives the reason.
pub(crate) fn get(
    proxies: &Proxies,
    address: &str,
    from: u64,
    until: Instant,
) -> Result<Answer, String> {
    let mut answer = once(proxies, address, from, until)?;
    let mut address = address.to_owned();
    for _ in 0..MAX_REDIRECTIONS {
        let Some(location) = redirection(&answer) else { return Ok(answer) };
        let to = resolved(&address, location);
        answer = once(proxies, &to, from, until)
            .map_err(|reason| format!("it redirects to {}: {reason}", shown(&to)))?;
        address = to;
    }
    match redirection(&answer) {
        None => Ok(answer),
        Some(_) => Err(format!("it redirects more than {MAX_REDIRECTIONS} times")),
    }
}

fn redirection(answer: &Answer) -> Option<&str> {
    matches!(answer.status, 301 | 302 | 303 | 307 | 308).then_some(answer.location.as_deref())?
}

/// Makes one request, through the proxy of its URL if it has one.
fn once(proxies: &Proxies, address: &str, from: u64, until: Instant) -> Result<Answer, String> {
    match Scheme::of(address) {
        None => Err("it is not an http or https URL".to_owned()),
        // The HTTP client may support TLS anyway, if another crate enables its feature.
        Some((Scheme::Https, _)) if !cfg!(feature = "https") => {
            Err("this program was built without the feature `https`".to_owned())
        }
        Some((Scheme::Https, _)) => ask(address, from, until, proxies.of(address)?.as_ref()),
        Some((Scheme::Http, _)) => match proxies.of(address)? {
            Some(proxy) => proxy.get(address, from),
            None => ask(address, from, until, None),
        },
    }
}

/// Makes one request to a server, through a tunnel if there is a proxy.
fn ask(address: &str, from: u64, until: Instant, proxy: Option<&Proxy>) -> Result<Answer, String> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .proxy(proxy.map(Proxy::tunnel).transpose()?)
        .timeout_connect(Some(CONNECT))
        .timeout_global(Some(until.saturating_duration_since(Instant::now())))
        .build()
        .into();
    let mut request = agent.get(address);
    if from > 0 {
        request = request.header("Range", format!("bytes={from}-"));
    }
    let response = request.call().map_err(|error| match proxy {
        Some(proxy) => format!("through the proxy {}: {error}", proxy.said()),
        None => error.to_string(),
    })?;
    let field = |name| Some(response.headers().get(name)?.to_str().ok()?.to_owned());
    let length = field("content-length").and_then(|length| length.parse().ok());
    let (location, status) = (field("location"), response.status());
    let said = match proxy {
        Some(proxy) => format!("{status} through the proxy {}", proxy.said()),
        None => status.to_string(),
    };
    let body = Box::new(response.into_body().into_reader());
    Ok(Answer { status: status.as_u16(), said, length, location, body })
}

/// Resolves a redirection's target against the URL that it came from.
fn resolved(address: &str, location: &str) -> String {
    let Some((scheme, rest)) = Scheme::of(address) else { return location.to_owned() };
    let (scheme, host) = (scheme.name(), authority(rest));
    let location = location.split('#').next().unwrap_or_default();
    let path = rest[host.len()..].split(['?', '#']).next().unwrap_or_default();
    match location {
        whole if whole.split(['/', '?']).next().is_some_and(|first| first.contains(':')) => {
            whole.to_owned()
        }
        other if other.starts_with("//") => format!("{scheme}:{other}"),
        absolute if absolute.starts_with('/') => format!("{scheme}://{host}{absolute}"),
        query if query.starts_with('?') => format!("{scheme}://{host}{path}{query}"),
        relative => {
            let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
            format!("{scheme}://{host}{folder}/{relative}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fetch::download::tests::request_head;
    use std::io::Write;
    use std::net::TcpListener;
    use std::time::Duration;

    fn reason(proxies: &Proxies, address: &str) -> String {
        let until = Instant::now() + Duration::from_secs(20);
        let answer = get(proxies, address, 0, until);
        answer.map(|answer| answer.said).unwrap_err()
    }

    /// Serves a redirection to `location` on the loopback address, twice. Returns the server's URL.
    fn redirecting(location: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}/a/file", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for stream in listener.incoming().take(2) {
                let mut stream = stream.unwrap();
                request_head(&stream);
                let fields = format!("Location: {location}\r\nContent-Length: 0");
                let answer = format!("HTTP/1.1 302 Found\r\n{fields}\r\nConnection: close\r\n\r\n");
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        address
    }

    #[test]
    fn redirections_lead_to_whole_addresses() {
        let from = "http://data.org:80/sets/a/file?x=/y";
        for (location, to) in [
            ("https://b.org/c", "https://b.org/c"),
            ("HTTP://b.org", "HTTP://b.org"),
            ("ftp://b.org/c", "ftp://b.org/c"),
            ("mailto:b", "mailto:b"),
            ("//b.org/c", "http://b.org/c"),
            ("/c/d#e", "http://data.org:80/c/d"),
            ("/c?d:e", "http://data.org:80/c?d:e"),
            ("c", "http://data.org:80/sets/a/c"),
            ("?c", "http://data.org:80/sets/a/file?c"),
        ] {
            assert_eq!(resolved(from, location), to);
        }
        assert_eq!(resolved("https://b.org", "c"), "https://b.org/c");
        assert_eq!(resolved("HTTPS://b.org", "//c.org"), "https://c.org");
    }

    #[test]
    fn other_protocols_are_refused() {
        let proxies = Proxies::default();
        assert!(reason(&proxies, "ftp://127.0.0.1/file").contains("not an http or https URL"));
        let message = reason(&proxies, &redirecting("file:///etc/passwd"));
        assert_eq!(message, "it redirects to file:///etc/passwd: it is not an http or https URL");
    }

    #[cfg(not(feature = "https"))]
    #[test]
    fn https_is_refused_without_its_feature() {
        let proxies = Proxies::default();
        let words = "this program was built without the feature `https`";
        for address in ["https://127.0.0.1:9/file", "HTTPS://127.0.0.1:9/file"] {
            assert_eq!(reason(&proxies, address), words);
        }
        let message = reason(&proxies, &redirecting("https://127.0.0.1:9/b/file"));
        assert_eq!(message, format!("it redirects to https://127.0.0.1:9/b/file: {words}"));
    }

    #[cfg(feature = "https")]
    mod with_https {
        use super::*;
        use std::io::Read;

        #[test]
        fn https_is_attempted() {
            let proxies = Proxies::default();
            let redirecting = redirecting("https://127.0.0.1:9/file");
            for address in ["https://127.0.0.1:9/file", "HTTPS://127.0.0.1:9/file", &redirecting] {
                let message = reason(&proxies, address);
                assert!(message.contains("refused") && !message.contains("feature"), "{message}");
            }
        }

        #[test]
        fn https_begins_with_a_handshake() {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = format!("https://{}/file", listener.local_addr().unwrap());
            let server = std::thread::spawn(move || {
                let mut first = [0; 3];
                let (mut stream, _) = listener.accept().unwrap();
                stream.read_exact(&mut first).unwrap();
                first
            });
            reason(&Proxies::default(), &address);
            // A handshake record of TLS (RFC 8446, section 5.1).
            assert_eq!(server.join().unwrap()[..2], [0x16, 0x03]);
        }

        #[test]
        fn https_goes_through_a_tunnel_of_its_proxy() {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let place = listener.local_addr().unwrap();
            let server = std::thread::spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                let head = request_head(&stream).join("\r\n");
                let _ = stream.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
                head
            });
            let proxy = format!("http://Aladdin:open%20ses%40me@{place}");
            let proxies = Proxies { https: Some(proxy), ..Proxies::default() };
            let message = reason(&proxies, "https://data.invalid/file");
            assert!(message.contains(&format!("through the proxy {place}: ")), "{message}");
            assert!(message.contains("403") && !message.contains("ses"), "{message}");
            let head = server.join().unwrap();
            assert!(head.starts_with("CONNECT data.invalid:443 HTTP/1.1\r\n"), "{head}");
            assert!(head.contains("Basic QWxhZGRpbjpvcGVuIHNlc0BtZQ=="), "{head}");
        }
    }
}
