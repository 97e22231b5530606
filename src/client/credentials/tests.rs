use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _, symlink};
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

const SERVER: &str = "https://mlflow.example.com";

/// A folder of one test.
struct Place(PathBuf);

impl Place {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("trackgate-credentials-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::DirBuilder::new().mode(0o700).create(&path).unwrap();
        Self(path)
    }

    fn credentials(&self) -> Credentials {
        Credentials::within(Folder::at(&self.0))
    }

    /// A file of this text and mode.
    fn holding(&self, text: &str, mode: u32) -> Credentials {
        fs::write(self.0.join(FILE), text).unwrap();
        fs::set_permissions(self.0.join(FILE), fs::Permissions::from_mode(mode)).unwrap();
        self.credentials()
    }

    fn names(&self) -> Vec<String> {
        let names = fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.collect();
        names.sort_unstable();
        names
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn server() -> Server {
    Server::parse(SERVER).unwrap()
}

fn entry(access: &str) -> Entry {
    Entry {
        user: "alice@example.com".to_owned(),
        access_token: access.into(),
        access_expires_at: 1_790_000_000,
        refresh_token: Some("tgr_refresh".into()),
        refresh_expires_at: Some(1_797_000_000),
        token_endpoint: Url::parse(&format!("{SERVER}/trackgate/oauth/token")).unwrap(),
    }
}

/// The file as the Python client may have written it.
const GOOD: &str = r#"{"version": 1, "written_by": "somebody else", "servers": {
  "https://mlflow.example.com": {"user": "alice@example.com", "access_token": "tgl_access", "access_expires_at": 1790000000.5,
    "refresh_token": "tgr_refresh", "refresh_expires_at": 1797000000, "token_endpoint": "https://mlflow.example.com/trackgate/oauth/token",
    "colour": "blue"},
  "https://other.example.com": {"anything": ["at", "all"]}}}"#;

#[tokio::test]
async fn what_is_kept_is_read_again() {
    let place = Place::new();
    let credentials = Credentials::within(Folder::at(place.0.join("deep").join("folder")));
    assert!(credentials.read().unwrap().entry(&server()).unwrap().is_none(), "nothing to begin with");
    let turn = credentials.turn().await.unwrap();
    let mut document = credentials.read().unwrap();
    document.put(&server(), &entry("tgl_access"));
    credentials.write(&document, &turn).unwrap();
    let kept = credentials.read().unwrap().entry(&server()).unwrap().unwrap();
    assert!(kept.is_same(&entry("tgl_access")));
    assert_eq!((kept.user.as_str(), kept.access_expires_at), ("alice@example.com", 1_790_000_000));
    let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
    assert_eq!(mode(credentials.path()), 0o600);
    assert_eq!(mode(credentials.path().parent().unwrap()), 0o700);
    // The form that was agreed on.
    let written: Value = serde_json::from_str(&fs::read_to_string(credentials.path()).unwrap()).unwrap();
    let wanted = json!({"version": 1, "servers": {SERVER: {
        "user": "alice@example.com", "access_token": "tgl_access", "access_expires_at": 1_790_000_000_u64,
        "refresh_token": "tgr_refresh", "refresh_expires_at": 1_797_000_000_u64,
        "token_endpoint": "https://mlflow.example.com/trackgate/oauth/token"}}});
    assert_eq!(written, wanted);
}

#[tokio::test]
async fn what_others_wrote_into_the_file_is_kept() {
    let place = Place::new();
    let credentials = place.holding(GOOD, 0o600);
    let turn = credentials.turn().await.unwrap();
    let mut document = credentials.read().unwrap();
    assert_eq!(document.entry(&server()).unwrap().unwrap().access_expires_at, 1_790_000_000);
    let changed = Entry { refresh_expires_at: None, ..entry("tgl_new") };
    document.put(&server(), &changed);
    credentials.write(&document, &turn).unwrap();
    let written: Value = serde_json::from_str(&fs::read_to_string(credentials.path()).unwrap()).unwrap();
    assert_eq!(written["written_by"], "somebody else");
    assert_eq!(written["servers"]["https://other.example.com"], json!({"anything": ["at", "all"]}));
    let ours = &written["servers"][SERVER];
    assert_eq!((&ours["colour"], &ours["access_token"]), (&json!("blue"), &json!("tgl_new")));
    assert!(ours.get("refresh_expires_at").is_none(), "what no longer holds is gone: {ours}");
    let mut document = credentials.read().unwrap();
    assert!(document.remove(SERVER) && !document.remove(SERVER));
    credentials.write(&document, &turn).unwrap();
    assert_eq!(credentials.read().unwrap().servers(), ["https://other.example.com"]);
}

#[test]
fn a_file_that_others_may_read_or_write_is_refused_with_the_command_that_mends_it() {
    for mode in [0o640, 0o604, 0o660, 0o606, 0o620, 0o602, 0o644, 0o666] {
        let place = Place::new();
        let credentials = place.holding(GOOD, mode);
        let fault = credentials.read().err().unwrap();
        assert_eq!(fault, FileFault::Loose { path: credentials.path().to_owned(), mode });
        let said = fault.to_string();
        assert!(said.contains(&format!("run: chmod 600 {}", credentials.path().display())), "{said}");
    }
    assert!(Place::new().holding(GOOD, 0o400).read().is_ok(), "less is no harm");
}

#[test]
fn a_folder_that_others_may_write_to_is_refused_with_the_command_that_mends_it() {
    for mode in [0o770, 0o702, 0o777] {
        let place = Place::new();
        let credentials = place.holding(GOOD, 0o600);
        fs::set_permissions(&place.0, fs::Permissions::from_mode(mode)).unwrap();
        let said = credentials.read().err().unwrap().to_string();
        assert!(said.contains(&format!("run: chmod 700 {}", place.0.display())), "{said}");
    }
}

#[tokio::test]
async fn garbage_is_said_and_never_written_over() {
    let own = |member: &str, value: Value| {
        let mut good: Value = serde_json::from_str(GOOD).unwrap();
        good["servers"][SERVER][member] = value;
        good.to_string()
    };
    for (text, word) in [
        (String::new(), "line 1"),
        ("secret-garbage".to_owned(), "line 1"),
        (GOOD[..200].to_owned(), "line"),
        ("[\"secret-garbage\"]".to_owned(), "no object"),
        ("{\"servers\": {}}".to_owned(), "version"),
        ("{\"version\": \"secret-garbage\", \"servers\": {}}".to_owned(), "version"),
        ("{\"version\": 2, \"servers\": {}}".to_owned(), "newer"),
        ("{\"version\": 1, \"servers\": \"secret-garbage\"}".to_owned(), "servers"),
        ("{\"version\": 1}".to_owned(), "servers"),
        (own("user", json!("secret-garbage\n")), "`user`"),
        (own("access_token", json!("secret-garbage with a space")), "`access_token`"),
        (own("access_token", json!(["secret-garbage"])), "`access_token`"),
        (own("access_token", Value::Null), "`access_token`"),
        (own("access_expires_at", json!("secret-garbage")), "`access_expires_at`"),
        (own("access_expires_at", json!(-1)), "`access_expires_at`"),
        (own("refresh_token", json!({"secret-garbage": 1})), "`refresh_token`"),
        (own("token_endpoint", json!("secret-garbage")), "`token_endpoint`"),
    ] {
        let place = Place::new();
        let credentials = place.holding(&text, 0o600);
        let fault = credentials.read().and_then(|document| document.entry(&server())).err().unwrap();
        let said = fault.to_string();
        assert!(matches!(fault, FileFault::Garbage { .. }) && said.contains(word), "{text}: {said}");
        assert!(said.contains(&*credentials.path().to_string_lossy()), "{said}");
        assert!(!said.contains("secret-garbage") && !said.contains("tgr_"), "nothing is quoted: {said}");
        assert_eq!(fs::read_to_string(credentials.path()).unwrap(), text);
    }
    let place = Place::new();
    let credentials = place.holding("", 0o600);
    fs::write(credentials.path(), [0xff, 0xfe]).unwrap();
    assert!(matches!(credentials.read(), Err(FileFault::Garbage { .. })), "no text");
    fs::write(credentials.path(), vec![b' '; 1024 * 1024 + 1]).unwrap();
    assert!(matches!(credentials.read(), Err(FileFault::Garbage { .. })), "too large");
}

#[test]
fn a_refresh_token_goes_to_no_other_server_than_its_own() {
    for endpoint in
        ["https://evil.example/token", "http://mlflow.example.com/token", "https://mlflow.example.com:8443/token"]
    {
        let text = GOOD.replace("https://mlflow.example.com/trackgate/oauth/token", endpoint);
        let place = Place::new();
        let fault = place.holding(&text, 0o600).read().and_then(|document| document.entry(&server())).err().unwrap();
        assert!(fault.to_string().contains("`token_endpoint`"), "{endpoint}: {fault}");
    }
}

#[test]
fn a_symbolic_link_a_pipe_and_a_folder_are_no_file_of_ours() {
    let place = Place::new();
    let credentials = place.holding(GOOD, 0o600);
    fs::rename(credentials.path(), place.0.join("elsewhere")).unwrap();
    symlink("elsewhere", credentials.path()).unwrap();
    let fault = credentials.read().err().unwrap();
    assert!(matches!(fault, FileFault::Link { .. }) && fault.to_string().contains("TRACKGATE_CONFIG_DIR"), "{fault}");
    fs::remove_file(credentials.path()).unwrap();
    symlink("nowhere", credentials.path()).unwrap();
    assert!(matches!(credentials.read(), Err(FileFault::Link { .. })), "one that leads nowhere too");
    fs::remove_file(credentials.path()).unwrap();
    fs::create_dir(credentials.path()).unwrap();
    assert!(matches!(credentials.read(), Err(FileFault::NotAFile { .. })));
    fs::remove_dir(credentials.path()).unwrap();
    // Nobody writes into it: opening it would last for ever.
    let made = std::process::Command::new("mkfifo").arg("-m").arg("600").arg(credentials.path()).status();
    assert!(made.unwrap().success());
    assert!(matches!(credentials.read(), Err(FileFault::NotAFile { .. })));
}

#[tokio::test]
async fn a_folder_behind_a_link_is_a_folder() {
    let place = Place::new();
    place.holding(GOOD, 0o600);
    let link = place.0.join("link");
    symlink(".", &link).unwrap();
    let credentials = Credentials::within(Folder::at(link));
    let turn = credentials.turn().await.unwrap();
    let mut document = credentials.read().unwrap();
    document.put(&server(), &entry("tgl_new"));
    credentials.write(&document, &turn).unwrap();
    assert!(place.credentials().read().unwrap().entry(&server()).unwrap().unwrap().is_same(&entry("tgl_new")));
}

#[tokio::test]
async fn a_file_where_the_folder_should_be_is_said() {
    let place = Place::new();
    let file = place.0.join("file");
    fs::write(&file, "kept").unwrap();
    for path in [file.clone(), file.join("below")] {
        let credentials = Credentials::within(Folder::at(&path));
        assert!(matches!(credentials.read(), Err(FileFault::NoFolder { .. })), "{}", path.display());
        let turn = credentials.turn().await.unwrap();
        let fault = credentials.write(&Document::empty(&path), &turn).unwrap_err();
        assert!(matches!(fault, FileFault::NoFolder { .. }), "{fault}");
    }
    assert_eq!(fs::read_to_string(file).unwrap(), "kept");
}

#[tokio::test]
async fn a_write_that_fails_leaves_the_old_file_and_no_litter() {
    let place = Place::new();
    let credentials = place.holding(GOOD, 0o600);
    let turn = credentials.turn().await.unwrap();
    let mut document = credentials.read().unwrap();
    document.put(&server(), &entry("tgl_new"));
    // A folder in its place cannot be replaced by a file: the last step fails.
    fs::rename(credentials.path(), place.0.join("old")).unwrap();
    fs::create_dir(credentials.path()).unwrap();
    assert!(matches!(credentials.write(&document, &turn), Err(FileFault::Unwritable { .. })));
    assert_eq!(place.names(), [FILE, LOCK, "old"]);
    assert_eq!(fs::read_to_string(place.0.join("old")).unwrap(), GOOD);
}

#[tokio::test]
async fn what_a_killed_process_left_is_swept_away() {
    let place = Place::new();
    let credentials = place.holding(GOOD, 0o600);
    fs::write(place.0.join(".credentials-0123456789abcdef.tmp"), "half a secret").unwrap();
    let turn = credentials.turn().await.unwrap();
    credentials.write(&credentials.read().unwrap(), &turn).unwrap();
    assert_eq!(place.names(), [FILE, LOCK]);
    credentials.try_writing(&turn).unwrap();
    assert_eq!(place.names(), [FILE, LOCK], "a trial leaves nothing");
}

#[tokio::test]
async fn one_at_a_time_has_its_turn() {
    let place = Place::new();
    let first = place.credentials().turn().await.unwrap();
    let credentials = place.credentials();
    let second = tokio::spawn(async move { credentials.turn().await.unwrap() });
    let lock = File::open(place.0.join(LOCK)).unwrap();
    assert!(matches!(lock.try_lock(), Err(TryLockError::WouldBlock)));
    assert!(!second.is_finished());
    drop(first);
    let second = tokio::time::timeout(Duration::from_secs(30), second).await.unwrap().unwrap();
    assert!(second.lock.is_some());
}

#[test]
fn nothing_that_is_printed_for_developers_holds_a_secret() {
    let printed = format!("{:?} {:?}", entry("tgl_access"), entry("tgl_access").refresh_token);
    assert!(!printed.contains("tgl_") && !printed.contains("tgr_"), "{printed}");
}
