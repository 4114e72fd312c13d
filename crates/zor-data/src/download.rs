//! Fetching a file over HTTP: from the first address that works, whole or not at all.
//!
//! Plain HTTP is enough, since nothing is trusted but the digest of what arrived. A download goes to a `.part` file beside its
//! place, continues where an earlier one stopped, and gets its name when its digest is right.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::{Error, Result};

/// No file here is larger.
const LARGEST: u64 = 256 << 20;
const CONNECT: Duration = Duration::from_secs(10);
const WHOLE: Duration = Duration::from_secs(1800);

/// Fetches a file from `address/file name`; it gets its name if the check lets it pass.
///
/// # Errors
/// When every address fails: of kind `Network`, naming each with its reason. When the file system refuses: `FileSystem`.
pub(crate) fn fetch(
    addresses: &[&str],
    path: &Path,
    check: &dyn Fn(&Path) -> Result<()>,
) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(|e| Error::file_system(folder, "make the folder", &e))?;
    let partial = beside(path);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let mut reasons = Vec::new();
    for address in addresses {
        let address = format!("{}/{name}", address.trim_end_matches('/'));
        match transfer(&address, &partial)? {
            Err(reason) => reasons.push(format!("{address}: {reason}")),
            Ok(()) => match check(&partial) {
                Ok(()) => {
                    return fs::rename(&partial, path)
                        .map_err(|error| Error::file_system(path, "write it", &error));
                }
                Err(_) => {
                    // Whatever it is, continuing it would not make it right.
                    fs::remove_file(&partial)
                        .map_err(|error| Error::file_system(&partial, "remove it", &error))?;
                    reasons.push(format!("{address}: what arrived is not the official file"));
                }
            },
        }
    }
    Err(Error::network(format!(
        "cannot download {name} ({}); try again, or put the file in a folder and name it with --data-dir",
        reasons.join("; ")
    )))
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    path.with_file_name(name)
}

/// One attempt. The outer error is the file system's and final; the inner one is a reason to try elsewhere.
fn transfer(address: &str, partial: &Path) -> Result<std::result::Result<(), String>> {
    let refused = |error: &std::io::Error| Error::file_system(partial, "write it", error);
    let have = fs::metadata(partial).map_or(0, |metadata| metadata.len());
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_connect(Some(CONNECT))
        .timeout_global(Some(WHOLE))
        .build()
        .into();
    let mut request = agent.get(address);
    if have > 0 {
        request = request.header("Range", format!("bytes={have}-"));
    }
    let response = match request.call() {
        Ok(response) => response,
        Err(error) => return Ok(Err(error.to_string())),
    };
    let status = response.status().as_u16();
    let continues = match status {
        200 => false,
        206 => true,
        // Nothing is left to send: the part is whole, or wrong, which its digest tells.
        416 if have > 0 => return Ok(Ok(())),
        _ => return Ok(Err(format!("the server answers {}", response.status()))),
    };
    let mut options = OpenOptions::new();
    options.create(true).write(true);
    let options = if continues { options.append(true) } else { options.truncate(true) };
    let mut file = options.open(partial).map_err(|error| refused(&error))?;
    let expected = response.headers().get("content-length");
    let expected: Option<u64> = expected.and_then(|length| length.to_str().ok()?.parse().ok());
    let mut body = response.into_body().into_reader().take(LARGEST + 1);
    let arrived = copy(&mut body, &mut file).map_err(|error| refused(&error))?;
    file.sync_all().map_err(|error| refused(&error))?;
    Ok(match arrived {
        Err(reason) => Err(reason),
        Ok(length) if length > LARGEST => Err(format!("it sends more than {LARGEST} bytes")),
        Ok(length) if expected.is_some_and(|expected| length < expected) => {
            Err(format!("it stopped after {length} bytes"))
        }
        Ok(_) => Ok(()),
    })
}

/// Copies until the end. The inner error is the sender's.
fn copy(from: &mut dyn Read, to: &mut File) -> std::io::Result<std::result::Result<u64, String>> {
    let mut buffer = vec![0; 1 << 16];
    let mut length = 0;
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(Ok(length)),
            Ok(n) => {
                to.write_all(&buffer[..n])?;
                length += n as u64;
            }
            Err(error) => return Ok(Err(format!("it stopped after {length} bytes: {error}"))),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::{ErrorKind, digest};
    use std::io::{BufRead, BufReader};
    use std::net::TcpListener;
    use std::sync::{Arc, Mutex};

    /// How a test server answers.
    #[derive(Clone, Copy, Debug)]
    pub(crate) enum Answer {
        Whole,
        Status(&'static str),
        CutAfter(usize),
        Altered,
        IgnoringRange,
    }

    /// Serves a body on the loopback address; returns its address and the requests' Range headers.
    pub(crate) fn serve(body: &'static [u8], answer: Answer) -> (String, Arc<Mutex<Vec<String>>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let ranges = Arc::new(Mutex::new(Vec::new()));
        let seen = ranges.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().take(8) {
                let mut stream = stream.unwrap();
                let lines = BufReader::new(stream.try_clone().unwrap()).lines();
                let head: Vec<String> =
                    lines.map(|line| line.unwrap()).take_while(|line| !line.is_empty()).collect();
                let range = head.iter().find_map(|line| {
                    line.to_lowercase().strip_prefix("range: bytes=").map(str::to_owned)
                });
                let from: usize =
                    range.as_ref().map_or(0, |range| range.trim_end_matches('-').parse().unwrap());
                seen.lock().unwrap().extend(range);
                let mut body = body.to_vec();
                let (status, from) = match answer {
                    Answer::Status(status) => (status, body.len()),
                    Answer::IgnoringRange => ("200 OK", 0),
                    _ if from > 0 => ("206 Partial Content", from),
                    _ => ("200 OK", 0),
                };
                if let Answer::Altered = answer {
                    body[30] ^= 1;
                }
                let rest = &body[from..];
                let head = format!(
                    "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                    rest.len()
                );
                let end =
                    if let Answer::CutAfter(n) = answer { n.min(rest.len()) } else { rest.len() };
                // The client may hang up first.
                let _ = stream.write_all(head.as_bytes());
                let _ = stream.write_all(&rest[..end]);
            }
        });
        (address, ranges)
    }

    static BODY: &[u8] = include_bytes!("../sample/train-labels-idx1-ubyte.gz");

    fn digest() -> String {
        digest::digest_of(BODY).unwrap()
    }

    fn attempt(addresses: &[&str], before: Option<&[u8]>) -> (tempfile::TempDir, Result<()>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("labels.gz");
        if let Some(before) = before {
            fs::write(beside(&path), before).unwrap();
        }
        let result = fetch(addresses, &path, &|path| digest::verify(path, &digest()));
        match &result {
            Ok(()) => assert_eq!(fs::read(&path).unwrap(), BODY),
            Err(_) => assert!(!path.exists(), "a file under its final name after an error"),
        }
        (folder, result)
    }

    fn fails(answer: Answer, words: &str) {
        let (address, _) = serve(BODY, answer);
        let error = attempt(&[&address], None).1.unwrap_err();
        let message = error.to_string();
        assert!(message.contains(words) && message.contains(&address), "{message}");
        assert!(message.contains("--data-dir"), "{message}");
        assert_eq!(error.kind(), ErrorKind::Network);
    }

    #[test]
    fn a_whole_file_arrives() {
        let (address, _) = serve(BODY, Answer::Whole);
        let (folder, result) = attempt(&[&address], None);
        result.unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn servers_that_fail_are_named_with_the_reason() {
        fails(Answer::Status("404 Not Found"), "404");
        fails(Answer::Status("503 Service Unavailable"), "503");
        fails(Answer::CutAfter(100), "stopped after 100 bytes");
        fails(Answer::Altered, "not the official file");
    }

    #[test]
    fn an_address_that_nobody_serves_is_a_network_error() {
        let error = attempt(&["http://127.0.0.1:9"], None).1.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Network);
    }

    #[test]
    fn the_next_address_is_tried() {
        let (bad, _) = serve(BODY, Answer::Status("503 Service Unavailable"));
        let (good, _) = serve(BODY, Answer::Whole);
        attempt(&[&bad, &good], None).1.unwrap();
    }

    #[test]
    fn a_stopped_download_goes_on_where_it_stopped() {
        let (address, ranges) = serve(BODY, Answer::Whole);
        attempt(&[&address], Some(&BODY[..700])).1.unwrap();
        assert_eq!(*ranges.lock().unwrap(), ["700-"]);
    }

    #[test]
    fn a_server_that_ignores_ranges_starts_anew() {
        let (address, _) = serve(BODY, Answer::IgnoringRange);
        attempt(&[&address], Some(&BODY[..700])).1.unwrap();
    }

    #[test]
    fn a_part_of_something_else_is_thrown_away() {
        let (address, _) = serve(BODY, Answer::Whole);
        let (folder, result) = attempt(&[&address], Some(&[7; 700]));
        assert!(result.is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
