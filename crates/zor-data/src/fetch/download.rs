//! Downloads a file from the first address that works.
//!
//! Plain HTTP is enough, because only the digest of the downloaded data is trusted; the feature
//! `https` is for servers that require HTTPS. Data goes to a `.part` file in the target folder,
//! which an interrupted download resumes and which is renamed once its digest is verified. A lock
//! on the folder keeps two processes from writing to the same part.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::fetch::answer::Answer;
use crate::fetch::proxy::Proxies;
use crate::fetch::request;

/// Maximum size of a download, in bytes.
const MAX_LENGTH: u64 = 256 << 20;
/// Timeout of a whole download.
const TIMEOUT: Duration = Duration::from_secs(1800);
/// Name of the lock file in a download folder. It is never removed: otherwise two processes could
/// lock different files.
const LOCK: &str = ".lock";

/// Locks a folder for a download. Blocks while another process holds the lock; dropping the file or
/// ending the process releases it.
///
/// Returns `None` if the file system has no locks. Concurrent downloads can then damage each other,
/// which the digests detect.
pub(crate) fn lock(folder: &Path) -> Option<File> {
    fs::create_dir_all(folder).ok()?;
    let file = OpenOptions::new().create(true).append(true).open(folder.join(LOCK)).ok()?;
    loop {
        match file.lock() {
            Ok(()) => return Some(file),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
}

/// Downloads a file from `ADDRESS/FILE_NAME`, trying each address in turn. The file is kept only if
/// it passes the check.
///
/// # Errors
/// Of kind `Download` when every address fails; the message names each with its reason. Of kind
/// `FileSystem` when the file cannot be written.
pub(crate) fn fetch(
    addresses: &[&str],
    path: &Path,
    check: &dyn Fn(&Path) -> Result<()>,
) -> Result<()> {
    fetch_through(&Proxies::from_environment(), addresses, path, check)
}

/// Downloads a file from its address. The file on this machine may have another name.
///
/// # Errors
/// As [`fetch`].
pub(crate) fn fetch_from(
    address: &str,
    path: &Path,
    check: &dyn Fn(&Path) -> Result<()>,
) -> Result<()> {
    fetch_first(&Proxies::from_environment(), &[address.to_owned()], path, check)
}

fn fetch_through(
    proxies: &Proxies,
    addresses: &[&str],
    path: &Path,
    check: &dyn Fn(&Path) -> Result<()>,
) -> Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let addresses: Vec<String> = addresses
        .iter()
        .map(|address| format!("{}/{name}", address.trim_end_matches('/')))
        .collect();
    fetch_first(proxies, &addresses, path, check)
}

/// Downloads a file from the first of its addresses that works.
fn fetch_first(
    proxies: &Proxies,
    addresses: &[String],
    path: &Path,
    check: &dyn Fn(&Path) -> Result<()>,
) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(|e| Error::file_system(folder, "make the folder", &e))?;
    let partial = beside(path);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let mut reasons = Vec::new();
    for address in addresses {
        match transfer(proxies, address, &partial)? {
            Err(reason) => reasons.push(format!("{address}: {reason}")),
            Ok(()) => match check(&partial) {
                Ok(()) => {
                    return fs::rename(&partial, path)
                        .map_err(|error| Error::file_system(path, "write it", &error));
                }
                Err(_) => {
                    // Resuming a wrong file would not correct it.
                    fs::remove_file(&partial)
                        .map_err(|error| Error::file_system(&partial, "remove it", &error))?;
                    reasons
                        .push(format!("{address}: the downloaded data is not the official file"));
                }
            },
        }
    }
    Err(Error::download(format!(
        "cannot download {name} ({}); try again, or put the file in a folder and name it with --data-dir",
        reasons.join("; ")
    )))
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    path.with_file_name(name)
}

/// Makes one attempt. The outer error is final (a file system error); the inner one is the reason
/// to try the next address.
fn transfer(
    proxies: &Proxies,
    address: &str,
    partial: &Path,
) -> Result<std::result::Result<(), String>> {
    let refused = |error: &std::io::Error| Error::file_system(partial, "write it", error);
    let have = match fs::metadata(partial) {
        // Opening a pipe without a reader would block.
        Ok(metadata) if !metadata.is_file() => {
            return Err(Error::in_file(
                partial,
                "it is not a regular file (a pipe or a device); remove it",
            ));
        }
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    };
    let until = Instant::now() + TIMEOUT;
    let answer = request::get(proxies, address, have, until);
    let Answer { status, said, length: expected, body, .. } = match answer {
        Ok(answer) => answer,
        Err(reason) => return Ok(Err(reason)),
    };
    let continues = match status {
        200 => false,
        206 => true,
        // Range not satisfiable: the part is complete, or wrong, which the digest detects.
        416 if have > 0 => return Ok(Ok(())),
        _ => return Ok(Err(format!("the server returned status {said}"))),
    };
    let mut options = OpenOptions::new();
    options.create(true).write(true);
    let options = if continues { options.append(true) } else { options.truncate(true) };
    let mut file = options.open(partial).map_err(|error| refused(&error))?;
    let arrived = copy(&mut body.take(MAX_LENGTH + 1), &mut file, until);
    let arrived = arrived.map_err(|error| refused(&error))?;
    file.sync_all().map_err(|error| refused(&error))?;
    Ok(match arrived {
        Err(reason) => Err(reason),
        Ok(length) if length > MAX_LENGTH => {
            Err(format!("the server sends more than {MAX_LENGTH} bytes"))
        }
        Ok(length) if expected.is_some_and(|expected| length < expected) => {
            Err(format!("the transfer stopped after {length} bytes"))
        }
        Ok(_) => Ok(()),
    })
}

/// Copies until the end or the deadline. The inner error is one of the transfer.
fn copy(
    from: &mut dyn Read,
    to: &mut File,
    until: Instant,
) -> std::io::Result<std::result::Result<u64, String>> {
    let mut buffer = vec![0; 1 << 16];
    let mut length = 0;
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(Ok(length)),
            Ok(n) => {
                to.write_all(&buffer[..n])?;
                length += n as u64;
                if Instant::now() > until {
                    return Ok(Err(format!(
                        "the transfer is too slow: {length} bytes in {TIMEOUT:?}"
                    )));
                }
            }
            Err(error) => {
                return Ok(Err(format!("the transfer stopped after {length} bytes: {error}")));
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::ErrorKind;
    use crate::fetch::digest;
    use std::io::{BufRead, BufReader};
    use std::net::{TcpListener, TcpStream};
    use std::sync::{Arc, Mutex};

    /// Lines of the next request's header.
    pub(crate) fn request_head(stream: &TcpStream) -> Vec<String> {
        let lines = BufReader::new(stream).lines().map(|line| line.unwrap());
        lines.take_while(|line| !line.is_empty()).collect()
    }

    /// Behaviour of a test server.
    #[derive(Clone, Copy, Debug)]
    pub(crate) enum Answer {
        Whole,
        Status(&'static str),
        CutAfter(usize),
        Altered,
        IgnoringRange,
    }

    /// Serves a body on the loopback address. Returns the server's address and the Range header of
    /// each request.
    pub(crate) fn serve(body: &'static [u8], answer: Answer) -> (String, Arc<Mutex<Vec<String>>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let ranges = Arc::new(Mutex::new(Vec::new()));
        let seen = ranges.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().take(16) {
                let mut stream = stream.unwrap();
                let head = request_head(&stream);
                let range = head.iter().find_map(|line| {
                    line.to_lowercase().strip_prefix("range: bytes=").map(str::to_owned)
                });
                let from: usize =
                    range.as_ref().map_or(0, |range| range.trim_end_matches('-').parse().unwrap());
                seen.lock().unwrap().push(range.unwrap_or_default());
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
                // The client may close the connection first.
                let _ = stream.write_all(head.as_bytes());
                let _ = stream.write_all(&rest[..end]);
            }
        });
        (address, ranges)
    }

    static BODY: &[u8] = include_bytes!("../../sample/train-labels-idx1-ubyte.gz");

    fn digest() -> String {
        digest::digest_of(BODY).unwrap()
    }

    fn attempt(addresses: &[&str], before: Option<&[u8]>) -> (tempfile::TempDir, Result<()>) {
        attempt_through(&Proxies::default(), addresses, before)
    }

    fn attempt_through(
        proxies: &Proxies,
        addresses: &[&str],
        before: Option<&[u8]>,
    ) -> (tempfile::TempDir, Result<()>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("labels.gz");
        if let Some(before) = before {
            fs::write(beside(&path), before).unwrap();
        }
        let check = |path: &Path| digest::verify(path, &digest());
        let result = fetch_through(proxies, addresses, &path, &check);
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
        assert_eq!(error.kind(), ErrorKind::Download);
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
        assert_eq!(error.kind(), ErrorKind::Download);
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

    /// A proxy with Squid's default rules, which refuses CONNECT except to port 443, in front of a
    /// server with an unresolvable name. Returns the proxy settings and the headers of the
    /// requests.
    fn proxy(credentials: &str) -> (Proxies, Arc<Mutex<Vec<String>>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{credentials}{}", listener.local_addr().unwrap());
        let heads = Arc::new(Mutex::new(Vec::new()));
        let seen = heads.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().take(16) {
                let mut stream = stream.unwrap();
                let head = request_head(&stream);
                let range = head.iter().find_map(|line| line.strip_prefix("Range: bytes="));
                let from = range.map_or(0, |range| range.trim_end_matches('-').parse().unwrap());
                let target = head[0].split(' ').nth(1).unwrap().to_owned();
                let answer = match target.as_str() {
                    "http://data.invalid/labels.gz" if from > 0 => "206 Partial Content",
                    "http://data.invalid/labels.gz" => "200 OK",
                    "http://moved.invalid/labels.gz" => {
                        "302 Found\r\nLocation: http://data.invalid/labels.gz"
                    }
                    "http://inside.invalid/labels.gz" => "301 Moved\r\nlocation: /labels.gz",
                    "http://secure.invalid/labels.gz" => {
                        "302 Found\r\nLocation: https://data.invalid/"
                    }
                    _ => "403 Forbidden",
                };
                seen.lock().unwrap().push(head.join("\n"));
                let body = if answer.starts_with('2') { &BODY[from..] } else { b"no" };
                let length = body.len();
                let head = format!("HTTP/1.1 {answer}\r\nContent-Length: {length}\r\n\r\n");
                let _ = stream.write_all(&[head.as_bytes(), body].concat());
            }
        });
        (Proxies { http: Some(address), ..Proxies::default() }, heads)
    }

    #[test]
    fn a_proxy_that_refuses_tunnels_is_asked_for_the_whole_address() {
        let (proxies, heads) = proxy("");
        attempt_through(&proxies, &["http://data.invalid"], None).1.unwrap();
        attempt_through(&proxies, &["http://data.invalid/"], Some(&BODY[..700])).1.unwrap();
        attempt_through(&proxies, &["http://moved.invalid"], None).1.unwrap();
        let heads = heads.lock().unwrap();
        assert!(
            heads[0]
                .starts_with("GET http://data.invalid/labels.gz HTTP/1.0\nHost: data.invalid\n")
        );
        assert!(
            !heads[0].contains("Range") && heads[1].contains("\nRange: bytes=700-"),
            "{heads:?}"
        );
        assert!(heads.iter().all(|head| !head.contains("Authorization")));
        assert_eq!(heads.len(), 4);
    }

    #[test]
    fn a_proxy_gets_its_password_and_messages_hide_it() {
        let (proxies, heads) = proxy("me:secret@");
        let error = attempt_through(&proxies, &["http://other.invalid"], None).1.unwrap_err();
        let message = error.to_string();
        assert!(message.contains("403 Forbidden through the proxy 127.0.0.1:"), "{message}");
        assert!(!message.contains("secret"), "{message}");
        assert!(heads.lock().unwrap()[0].contains("\nProxy-Authorization: Basic bWU6c2VjcmV0"));
    }

    #[test]
    fn redirections_that_lead_nowhere_end() {
        let (proxies, _) = proxy("");
        let proxies = Proxies { https: proxies.http.clone(), ..proxies };
        let secure = match cfg!(feature = "https") {
            true => "it redirects to https://data.invalid/: through the proxy 127.0.0.1:",
            false => {
                "it redirects to https://data.invalid/: this program was built without the feature \
                 `https`"
            }
        };
        for (address, words) in
            [("http://inside.invalid", "more than 10 times"), ("http://secure.invalid", secure)]
        {
            let error = attempt_through(&proxies, &[address], None).1.unwrap_err();
            assert!(error.to_string().contains(words), "{error}");
            assert_eq!(error.kind(), ErrorKind::Download);
        }
        let absent = Proxies { http: Some("127.0.0.1:9".to_owned()), ..Proxies::default() };
        let error = attempt_through(&absent, &["http://data.invalid"], None).1.unwrap_err();
        assert!(error.to_string().contains("the proxy 127.0.0.1:9: "), "{error}");
    }

    #[test]
    fn an_excepted_host_is_reached_without_the_proxy() {
        let (address, _) = serve(BODY, Answer::Whole);
        let (proxies, heads) = proxy("");
        let proxies = Proxies { except: "localhost,127.0.0.1".to_owned(), ..proxies };
        attempt_through(&proxies, &[&address], None).1.unwrap();
        assert!(heads.lock().unwrap().is_empty());
    }

    /// Helper that the next test runs in a separate process.
    #[test]
    #[ignore = "holds a lock until it is killed"]
    fn holds_a_lock() {
        let Some(folder) = std::env::var_os("ZOR_TEST_LOCK") else { return };
        let _lock = lock(Path::new(&folder)).unwrap();
        fs::write(Path::new(&folder).join("held"), "").unwrap();
        std::thread::sleep(Duration::from_secs(60));
    }

    #[test]
    fn a_lock_ends_with_its_process() {
        let folder = tempfile::tempdir().unwrap();
        let mut other = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "fetch::download::tests::holds_a_lock", "--ignored"])
            .env("ZOR_TEST_LOCK", folder.path())
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        while !folder.path().join("held").exists() {
            assert!(other.try_wait().unwrap().is_none(), "the other process ended");
            std::thread::sleep(Duration::from_millis(5));
        }
        let file = File::open(folder.path().join(LOCK)).unwrap();
        assert!(file.try_lock().is_err());
        other.kill().unwrap();
        other.wait().unwrap();
        drop(lock(folder.path()).unwrap());
        // A folder that cannot be created gives no lock and no error.
        fs::write(folder.path().join("file"), "").unwrap();
        assert!(lock(&folder.path().join("file")).is_none());
    }

    #[cfg(unix)]
    #[test]
    fn a_pipe_in_the_place_of_a_part_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("labels.gz");
        crate::file::tests::pipe(&beside(&path));
        let error =
            fetch_through(&Proxies::default(), &["http://data.invalid"], &path, &|_| Ok(()));
        assert!(error.unwrap_err().to_string().contains("not a regular file"));
    }
}
