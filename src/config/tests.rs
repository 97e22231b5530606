use super::*;

const EXAMPLE: &str = include_str!("../../config/example.toml");
const MINIMAL: &str = include_str!("../../config/minimal.toml");
const IAP: &str = include_str!("../../config/iap.toml");
const CONTAINER: &str = include_str!("../../config/container.toml");

/// Faults as `config check` prints them.
fn faults(text: &str) -> Vec<String> {
    Config::parse(text).unwrap_err().iter().map(Fault::to_string).collect()
}

/// Every commented-out key and table put in force, but for `[acme]`: it excludes files with a certificate.
fn with_everything() -> String {
    let all = all_in_force();
    let (before, rest) = all.split_once("\n[acme]\n").unwrap();
    let (_, after) = rest.split_once("\n[upstream]\n").unwrap();
    format!("{before}\n[upstream]\n{after}")
}

/// The same with `[acme]`.
fn with_acme() -> String {
    let is_file = |line: &&str| line.starts_with("certificate = ") || line.starts_with("private_key = ");
    all_in_force().lines().filter(|line| !is_file(line)).collect::<Vec<_>>().join("\n")
}

fn all_in_force() -> String {
    let key = |line: &str| {
        line.split_once(" = ").is_some_and(|(key, _)| key.chars().all(|c| c.is_ascii_lowercase() || c == '_'))
    };
    EXAMPLE
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(rest) if rest.starts_with('[') || key(rest) => rest,
            _ => line,
        })
        .collect::<Vec<_>>()
        .join("\n")
        // Only an https server has a CA.
        .replace("url = \"http://127.0.0.1:5000\"", "url = \"https://127.0.0.1:5000\"")
}

#[test]
fn the_example_holds_every_key_and_nothing_else() {
    let config = Config::parse(&with_everything()).unwrap_or_else(|faults| panic!("{faults:#?}"));
    let certified = Config::parse(&with_acme()).unwrap_or_else(|faults| panic!("{faults:#?}"));
    let of_acme = certified.keys.iter().filter(|asked| asked.key.starts_with("acme."));
    let missing: Vec<_> =
        config.keys.iter().chain(of_acme).filter(|asked| asked.line.is_none()).map(|asked| &asked.key).collect();
    assert!(missing.is_empty(), "not in config/example.toml: {missing:?}");
    assert!(config.keys.len() > 80, "{}", config.keys.len());
}

#[test]
fn the_example_shows_the_true_defaults() {
    let config = Config::parse(EXAMPLE).unwrap_or_else(|faults| panic!("{faults:#?}"));
    let wrong: Vec<_> = config
        .keys
        .iter()
        .filter(|asked| asked.line.is_some() && asked.default.is_some() && asked.default != asked.value)
        .map(|asked| format!("{}: {:?}, not {:?}", asked.key, asked.default, asked.value))
        .filter(|line| {
            !["title", "hosted_domains", "bearer.audiences"]
                .iter()
                .any(|key| line.starts_with(&format!("issuer[1].{key}")))
        })
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_packages_configuration_agrees_with_its_units() {
    let config = Config::parse(include_str!("../../deploy/debian/trackgate.toml"))
        .unwrap_or_else(|faults| panic!("{faults:#?}"));
    let https = config.serve.https.unwrap().address.to_string();
    let redirect = config.serve.redirect.unwrap().address.to_string();
    let socket = include_str!("../../deploy/systemd/trackgate.socket");
    assert!(socket.contains("FileDescriptorName=https\nListenStream=443\n"), "{socket}");
    let other = include_str!("../../deploy/systemd/trackgate-redirect.socket");
    assert!(other.contains("FileDescriptorName=redirect\nListenStream=80\n"), "{other}");
    assert_eq!((https.as_str(), redirect.as_str()), ("[::]:443", "[::]:80"));
    // What the drain takes at most, the unit allows.
    let unit = include_str!("../../deploy/systemd/trackgate.service");
    assert!(unit.contains("TimeoutStopSec=60s") && config.serve.limits.drain.as_secs() < 60);
}

#[test]
fn every_value_of_the_example_has_a_comment_near_it() {
    // A block of keys is told apart from the next by a comment, a table or an empty line.
    let mut commented = false;
    for (n, line) in EXAMPLE.lines().enumerate() {
        commented = (commented || line.starts_with('#') || line.starts_with('[')) && !line.is_empty();
        if line.contains(" = ") {
            assert!(commented, "line {}: {line}", n + 1);
        }
    }
}

#[test]
fn what_a_short_file_leaves_out_are_the_rooms_own_defaults() {
    let config = Config::parse(MINIMAL).unwrap_or_else(|faults| panic!("{faults:#?}"));
    let same = |one: &dyn fmt::Debug, other: &dyn fmt::Debug| assert_eq!(format!("{one:?}"), format!("{other:?}"));
    same(&config.serve.limits, &serve::Limits::default());
    same(&config.upstream, &upstream::Settings::default());
    same(&config.audit, &audit::Settings::default());
    same(&config.log, &telemetry::Settings::default());
    same(&config.bodies, &Bodies::default());
    same(&config.rates, &crate::gate::limits::Settings::default());
    same(&config.answer, &answer::Settings::default());
    same(&config.resolve, &resolve::Settings::default());
    same(&config.clean, &clean::Settings::new(config.public_url.clone()));
    same(&config.authenticate.session, &authenticate::session::Settings::default());
    let authenticate = authenticate::Settings::new(config.public_url.clone());
    assert_eq!(config.authenticate.failed_credentials, authenticate.failed_credentials);
    assert_eq!(config.store.session_idle, store::Settings::new(PathBuf::new()).session_idle);
    assert_eq!(config.serve.hsts, serve::Settings::default().hsts);
    assert!(config.serve.trusted_proxies.is_empty(), "nobody is believed by default");
}

#[test]
fn the_file_for_iap_opens_one_listener_and_no_other_way_in() {
    let config = Config::parse(IAP).unwrap_or_else(|faults| panic!("{faults:#?}"));
    assert!(config.serve.https.is_none() && config.serve.plain.is_some());
    assert!(config.authenticate.issuers.is_empty() && config.authenticate.iap.is_some());
}

#[test]
fn the_file_in_the_image_writes_to_the_volume_and_to_standard_output_alone() {
    let config = Config::parse(CONTAINER).unwrap_or_else(|faults| panic!("{faults:#?}"));
    assert_eq!(config.store.state_dir, Path::new("/var/lib/trackgate/state"), "others may enter the volume itself");
    assert_eq!(config.audit.to, audit::Target::Stdout);
    assert!(config.serve.limits.drain_accept.is_zero(), "idle, it ends at once");
    assert!(config.serve.https.is_none() && config.serve.redirect.is_none() && config.serve.plain.is_some());
}

#[test]
fn all_faults_are_told_at_once_each_with_key_line_and_hint() {
    let text = r#"publik_url = "https://mlflow.example.com"
state_dir = 7

[listen]
https = "443"
certificate_pol = "30s"
hsts = "a year"

[limits]
json_body = "1 MB"
h2_streams = -1

[[issuer]]
name = "Google!"
isuer = "https://accounts.google.com"
algorithms = ["HS256"]

[issuer.login]
scopes = ["email"]

[accces]
"#;
    assert_eq!(
        faults(text),
        [
            "`public_url` is required; write for example `public_url = \"https://mlflow.example.com\"`",
            "line 1: `publik_url` is not a key; did you mean `public_url`?",
            "line 2: `state_dir` must be a path, in quotes",
            "line 4: `listen.certificate` is required where `listen.https` is set; or add an `[acme]` block",
            "line 4: `listen.private_key` is required where `listen.https` is set; or add an `[acme]` block",
            "line 5: `listen.https` must be an address and a port, such as \"0.0.0.0:443\" or \"[::]:443\"",
            "line 6: `listen.certificate_pol` is not a key; did you mean `certificate_poll`?",
            "line 7: `listen.hsts` must be a duration such as \"500ms\", \"30s\", \"10m\", \"8h\" or \"365d\"",
            "line 10: `limits.json_body` must be a size such as \"64KiB\" or \"1MiB\", or 0",
            "line 11: `limits.h2_streams` must be a whole number from 0 to 4294967295",
            "line 13: `issuer[1].issuer` is required; write for example `issuer = \"https://accounts.google.com\"`",
            "line 14: `issuer[1].name` must be a short name of lower-case letters, digits, `-` and `_`",
            "line 15: `issuer[1].isuer` is not a key; did you mean `issuer`?",
            "line 16: `issuer[1].algorithms` must be a list in which each is a signature algorithm such as \"RS256\" or \"ES256\" (never \"none\" or one with a shared key)",
            "line 18: `issuer[1].login.client_id` is required; write for example `client_id = \"1234.apps.googleusercontent.com\"`",
            "line 19: `issuer[1].login.scopes` must hold \"openid\"; without it there is no ID token",
            "line 21: `accces` is not a key; did you mean `access`?",
        ]
    );
}

#[test]
fn a_file_that_is_no_toml_says_where() {
    let text = "public_url = \"https://x.example.com\n[listen\nplain = ";
    let faults = faults(text);
    assert!(faults.len() > 1, "{faults:?}");
    assert!(faults[0].starts_with("line 1: is not TOML: "), "{faults:?}");
}

#[test]
fn each_rule_about_values_has_its_sentence() {
    let base = |extra: &str| format!("{MINIMAL}\n{extra}");
    let cases = [
        (
            MINIMAL.replace("https://mlflow.example.com\"\n\n[listen", "http://mlflow.example.com\"\n\n[listen"),
            "https alone",
        ),
        (
            MINIMAL.replace("https://mlflow.example.com\"\n\n[listen", "https://u:p@mlflow.example.com\"\n\n[listen"),
            "without user",
        ),
        (
            MINIMAL.replace("https://mlflow.example.com\"\n\n[listen", "https://mlflow.example.com/x\"\n\n[listen"),
            "without user, password, path",
        ),
        (MINIMAL.replace("http://127.0.0.1:5000", "http://u:secret@127.0.0.1:5000"), "`upstream.url` must be"),
        (MINIMAL.replace("https = \"0.0.0.0:443\"", ""), "at least one listener"),
        (MINIMAL.replace("issuer = \"https://acc", "issuer = \"http://acc"), "or http on a loopback address"),
        (base("[session]\nidle = \"48h\""), "longer than `session.absolute`"),
        (base("[tokens]\ndefault_lifetime = \"400d\""), "longer than `tokens.max_lifetime`"),
        (base("[tokens]\nmax_lifetime = \"1s\""), "too short to use a token"),
        (base("[login]\naccess_lifetime = \"1s\""), "too short to use a token"),
        (base("[login]\naccess_lifetime = \"25h\""), "longer than a day"),
        (base("[login]\nrefresh_lifetime = \"91d\""), "longer than 90 days"),
        (base("[login]\nrefresh_lifetime = \"7d\"\nrefresh_idle = \"8d\""), "longer than `login.refresh_lifetime`"),
        (base("[login]\naccess_lifetime = \"2h\"\nrefresh_idle = \"1h\""), "longer than `login.refresh_idle`"),
        (base("[limits]\nconnections = 0"), "must not be 0"),
        (base("[limits]\nh2_stream_window = \"8GiB\""), "larger than HTTP/2 can say"),
        (base("[rates]\naddress = 10\naddress_burst = 5"), "less than what may come in a second"),
        (base("[rates]\nperson_at_once = 20\nat_once = 10"), "more than `rates.at_once`"),
        (base("[rates]\nwait = \"5m\""), "longer than a minute"),
        (base("[audit]\non_failure = \"ignore\""), "one of \"refuse\", \"allow\""),
        (base("[log]\nlevel = \"loud=very=much\""), "off, error, warn"),
        (base("[log]\nlevel = \"info,trackgate=loud\""), "off, error, warn"),
        // Taken for the name of a part, everything else would be silent.
        (base("[log]\nlevel = \"warning\""), "off, error, warn"),
        (base("[log]\nlevel = \"trackgate::store=debug\""), "off, error, warn"),
        (base("[log]\nlevel = \"info,hyper\""), "off, error, warn"),
        (base("[log]\nlevel = \"\""), "off, error, warn"),
        (base("[iap]\naudiences = []"), "no request could be accepted"),
        (base("[iap]\naudiences = [\"/x\"]"), "`iap.listener` names a listener that `listen` does not open"),
        (
            base(
                "[[issuer]]\nname = \"google\"\nissuer = \"https://b.example.com\"\n[issuer.bearer]\naudiences = [\"x\"]",
            ),
            "is the name of two issuers",
        ),
        (base("[[issuer]]\nname = \"idle\"\nissuer = \"https://b.example.com\""), "nobody can use this issuer"),
        (MINIMAL.replace("[issuer.login]", "skew = \"5m\"\n[issuer.login]"), "more than a minute"),
        (
            MINIMAL.replace("[issuer.bearer]", "parameters = { state = \"x\" }\n[issuer.bearer]"),
            "which Trackgate sets itself",
        ),
        (
            MINIMAL.replace("[access]", "[access]\ndefault_workspace_permission = \"MANAGE\""),
            "one of \"NO_PERMISSIONS\", \"USE\"",
        ),
        (MINIMAL.replace("you@example.com", "you @example.com"), "a user name"),
        (MINIMAL.replace("[listen]", "[listen]\ntrusted_proxies = [\"everybody\"]"), "an address range"),
        (MINIMAL.replace("[listen]", "[listen]\nplain = \"0.0.0.0:443\""), "the address of another listener"),
        (MINIMAL.replace("[listen]", "[listen]\nmonitor = \"127.0.0.1:443\""), "the address of another listener"),
        (MINIMAL.replace("[listen]", "[listen]\nmonitor = \"[::]:443\""), "the address of another listener"),
        (MINIMAL.replace("[upstream]", "[upstream]\nstatic_prefix = \"mlflow/\""), "without a slash at its end"),
        (MINIMAL.replace("[upstream]", "[upstream]\nstatic_prefix = \"/trackgate/x\""), "a path such as"),
    ];
    for (text, wanted) in cases {
        let found = faults(&text);
        assert!(found.iter().any(|fault| fault.contains(wanted)), "{wanted}: {found:?}");
        assert!(!found.iter().any(|fault| fault.contains("secret@")), "a password is repeated: {found:?}");
    }
}

#[test]
fn what_sign_in_sets_itself_is_refused_in_the_file_never_dropped_in_silence() {
    for name in crate::authenticate::login::PROTECTED {
        let text = MINIMAL.replace("[issuer.bearer]", &format!("parameters = {{ {name} = \"x\" }}\n[issuer.bearer]"));
        let found = faults(&text);
        assert!(found.iter().any(|fault| fault.contains(&format!("holds `{name}`"))), "{name}: {found:?}");
    }
}

/// Faults of a short file with further blocks.
fn with_blocks(blocks: &str) -> Vec<String> {
    match Config::parse(&format!("{MINIMAL}\n{blocks}")) {
        Ok(_) => Vec::new(),
        Err(faults) => faults.iter().map(Fault::to_string).collect(),
    }
}

const GITHUB: &str = "[[issuer]]\nname = \"github\"\nissuer = \"https://token.actions.githubusercontent.com\"\n\
                      user_claim = \"none\"\n[issuer.bearer]\naudiences = [\"https://mlflow.example.com\"]\n";

#[test]
fn a_binding_names_a_known_issuer_an_account_and_claims_that_somebody_has() {
    let binding = |rest: &str| format!("{GITHUB}[[binding]]\nname = \"ci\"\naccount = \"svc:ci\"\n{rest}\n");
    let good =
        "issuer = \"github\"\nclaims = { repository = \"org/repo\", ref = [\"refs/heads/main\", \"refs/tags/v-*\"] }";
    assert_eq!(with_blocks(&binding(good)), [""; 0]);
    let config = Config::parse(&format!("{MINIMAL}\n{}", binding(good))).unwrap();
    assert_eq!(config.authenticate.bindings[0].account.as_str(), "svc:ci");
    for (rest, words) in [
        ("issuer = \"gitlab\"\nclaims = { sub = \"x\" }", "names no `[[issuer]]`: `gitlab`"),
        ("issuer = \"github\"", "`binding[1].claims` is required"),
        ("issuer = \"github\"\nclaims = {}", "no claim is named"),
        ("issuer = \"github\"\nclaims = { repository = 7 }", "is a text"),
        ("issuer = \"github\"\nclaims = { repository = \"org/repo*\" }", "a `*` stands behind"),
        ("issuer = \"github\"\nclaims = { ref = \"refs/heads/main\" }", "names nobody: anybody has tokens from GitHub"),
        ("issuer = \"github\"\nclaim = { repository = \"org/repo\" }", "is not a key"),
        (
            "issuer = \"github\"\nclaims = { repository = \"org/repo\" }\n[[binding]]\nname = \"ci\"\nissuer = \"github\"\n\
          account = \"svc:x\"\nclaims = { repository = \"org/x\" }",
            "is the name of two bindings",
        ),
    ] {
        let found = with_blocks(&binding(rest));
        assert!(found.iter().any(|fault| fault.contains(words)), "{rest}: {found:?}");
    }
    let nowhere = binding(good).replace("audiences = [\"https://mlflow.example.com\"]", "audiences = []");
    assert!(with_blocks(&nowhere).iter().any(|fault| fault.contains("no token would match")));
}

#[test]
fn an_issuer_of_ci_jobs_is_for_bindings_alone() {
    assert_eq!(with_blocks(GITHUB), [""; 0]);
    let found = with_blocks(&GITHUB.replace("user_claim = \"none\"\n", ""));
    assert!(found.iter().any(|fault| fault.contains("every workflow in the world")), "{found:?}");
    let gitlab = "[[issuer]]\nname = \"gitlab\"\nissuer = \"https://gitlab.com\"\n";
    let (login, bearer) =
        ("[issuer.login]\nclient_id = \"x\"\n", "[issuer.bearer]\naudiences = [\"https://m.example.com\"]\n");
    for people in [format!("{gitlab}{bearer}"), format!("{gitlab}{login}{bearer}")] {
        let found = with_blocks(&people);
        assert!(found.iter().any(|fault| fault.contains("every CI job of GitLab.com")), "{people}: {found:?}");
    }
    let job = "[[binding]]\nname = \"ci\"\nissuer = \"gitlab\"\naccount = \"svc:ci\"\naudiences = [\"https://m.example.com\"]\n\
               claims = { project_path = \"group/project\" }\n";
    for apart in [format!("{gitlab}user_claim = \"none\"\n{bearer}"), format!("{gitlab}{login}{job}")] {
        assert_eq!(with_blocks(&apart), [""; 0], "{apart}");
    }
    let kubernetes = "[[issuer]]\nname = \"k8s\"\nissuer = \"https://kubernetes.default.svc.cluster.local\"\n\
                      user_claim = \"none\"\nca_file = \"/ca\"\nkeys_token_file = \"/token\"\n";
    let found = with_blocks(kubernetes);
    assert!(found.iter().any(|fault| fault.contains("is of no use without `keys_url`")), "{found:?}");
    let keys = format!("{kubernetes}keys_url = \"https://kubernetes.default.svc/openid/v1/jwks\"\n");
    assert_eq!(with_blocks(&keys), [""; 0]);
    let found = with_blocks(&format!("{GITHUB}[issuer.login]\nclient_id = \"x\"\n"));
    assert!(found.iter().any(|fault| fault.contains("nobody could sign in")), "{found:?}");
}

/// The blocks of docs/tokens.md that have an issuer, each as a whole configuration.
fn presets() -> Vec<Config> {
    let document = include_str!("../../docs/tokens.md");
    let blocks = document.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let blocks = blocks.filter(|block| block.starts_with("[[issuer]]"));
    blocks
        .map(|block| Config::parse(&format!("{IAP}\n{block}")).unwrap_or_else(|faults| panic!("{block}\n{faults:#?}")))
        .collect()
}

#[test]
fn the_documented_presets_match_what_each_platform_puts_into_its_tokens_and_nothing_near_it() {
    use serde_json::{Value, json};
    let presets = presets();
    assert_eq!(presets.len(), 5);
    // As each platform documents its tokens, without what no rule speaks of.
    let tokens = [
        (
            "trainer",
            json!({"sub": "112233445566778899000", "azp": "112233445566778899000", "email_verified": true,
            "email": "trainer@my-project.iam.gserviceaccount.com"}),
            json!({"sub": "112233445566778899001"}),
        ),
        (
            "pods-of-training",
            json!({"sub": "system:serviceaccount:training:trainer", "kubernetes.io": {
            "namespace": "training", "pod": {"name": "p", "uid": "1"}, "serviceaccount": {"name": "trainer", "uid": "2"}}}),
            json!({"kubernetes.io": {"namespace": "other", "serviceaccount": {"name": "trainer", "uid": "2"}}}),
        ),
        (
            "github-main",
            json!({"sub": "repo:org/repo:ref:refs/heads/main", "repository": "org/repo",
            "repository_id": "1296269", "repository_owner": "org", "ref": "refs/heads/main", "ref_protected": "true"}),
            json!({"ref": "refs/pull/1/merge"}),
        ),
        (
            "gitlab-main",
            json!({"sub": "project_path:group/project:ref_type:branch:ref:main", "project_path": "group/project",
            "project_id": "20", "namespace_path": "group", "ref": "main", "ref_type": "branch", "ref_protected": "true"}),
            json!({"ref_type": "tag"}),
        ),
    ];
    for (name, good, other) in tokens {
        let bindings = presets.iter().flat_map(|config| &config.authenticate.bindings);
        let binding = bindings.clone().find(|binding| binding.name.as_str() == name).unwrap();
        let speaks = |claims: &Value| {
            let email = claims["email"].as_str().filter(|_| claims["email_verified"] == json!(true));
            binding.speaks_of(claims.as_object().unwrap(), email)
        };
        assert_eq!(speaks(&good), Ok(()), "{name}");
        let mut near = good.clone();
        crate::authenticate::forge::merge(&mut near, &other);
        assert!(speaks(&near).is_err(), "{name}: {near}");
    }
    let cluster =
        presets.iter().flat_map(|config| &config.authenticate.issuers).find(|issuer| issuer.name == "cluster");
    assert!(cluster.is_some_and(|issuer| issuer.keys_token_file.is_some() && issuer.fetch.ca_file.is_some()));
}

#[test]
fn what_is_printed_can_be_read_again_and_says_the_same() {
    for text in [EXAMPLE, MINIMAL, IAP, CONTAINER, &with_everything()] {
        let config = Config::parse(text).unwrap();
        let printed = config.print();
        let again = Config::parse(&printed).unwrap_or_else(|faults| panic!("{faults:#?}\n{printed}"));
        assert_eq!(again.print(), printed);
        assert_eq!(format!("{:?}", again.authenticate), format!("{:?}", config.authenticate));
    }
}

/// A gate with a certificate from an authority.
fn certified(listen: &str, acme: &str) -> String {
    MINIMAL
        .replace("certificate = \"/etc/trackgate/tls/cert.pem\"", listen)
        .replace("private_key = \"/etc/trackgate/tls/key.pem\"", "")
        + "\n[acme]\n"
        + acme
}

#[test]
fn an_authority_is_asked_for_the_host_of_the_public_url() {
    let config = Config::parse(&certified("", "")).unwrap_or_else(|faults| panic!("{faults:#?}"));
    let acme = config.acme.unwrap();
    assert_eq!(acme.directory.as_str(), "https://acme-v02.api.letsencrypt.org/directory");
    assert_eq!((&*acme.domains, acme.challenge.name()), (&["mlflow.example.com".to_owned()][..], "tls-alpn-01"));
    let pair = &config.serve.https.as_ref().unwrap().pair;
    assert!(pair.desk().is_some() && pair.files().is_none());
    let text = certified("redirect = \"0.0.0.0:80\"", "challenge = \"http-01\"\ncontact = \"mailto:ops@example.com\"");
    let config = Config::parse(&text).unwrap_or_else(|faults| panic!("{faults:#?}"));
    assert_eq!(config.acme.unwrap().contact.as_deref(), Some("ops@example.com"));
    assert!(config.serve.redirect.unwrap().desk.is_some(), "challenges are answered on that port");
    let text =
        certified("redirect = \"0.0.0.0:80\"", "domains = [\"b.example\", \"MLflow.example.com\", \"b.example\"]");
    let config = Config::parse(&text).unwrap_or_else(|faults| panic!("{faults:#?}"));
    assert_eq!(config.acme.unwrap().domains, ["b.example", "mlflow.example.com"]);
    assert!(config.serve.redirect.unwrap().desk.is_none(), "nobody looks there for a challenge by TLS");
    let config = Config::parse(MINIMAL).unwrap_or_else(|faults| panic!("{faults:#?}"));
    assert!(config.acme.is_none(), "off by default");
}

#[test]
fn what_an_authority_could_not_do_is_a_fault() {
    let plain = MINIMAL
        .replace("https = \"0.0.0.0:443\"", "plain = \"0.0.0.0:80\"")
        .replace("certificate = \"/etc/trackgate/tls/cert.pem\"", "")
        .replace("private_key = \"/etc/trackgate/tls/key.pem\"", "");
    let by_address = certified("", "").replace("https://mlflow.example.com", "https://192.0.2.1");
    for (text, wanted) in [
        (format!("{MINIMAL}\n[acme]\n"), "`listen.certificate` has no effect beside `[acme]`"),
        (format!("{plain}\n[acme]\n"), "`[acme]` has no effect"),
        (certified("", "challenge = \"http-01\""), "`listen.redirect` is absent: `http-01` is answered there"),
        (certified("", "challenge = \"dns-01\""), "one of \"tls-alpn-01\", \"http-01\""),
        (certified("", "domains = []"), "lacks `mlflow.example.com`"),
        (certified("", "domains = [\"other.example\"]"), "lacks `mlflow.example.com`"),
        (certified("", "domains = [\"mlflow.example.com\", \"*.example.com\"]"), "prove one name each"),
        (certified("", "domains = [\"mlflow.example.com\", \"192.0.2.1\"]"), "not for addresses"),
        (certified("", "domains = [\"mlflow.example.com\", \"a.example:443\"]"), "a host name"),
        (certified("", "domains = [\"mlflow.example.com\", \"../etc\"]"), "a host name"),
        (by_address, "not for addresses"),
        (certified("", "directory = \"http://acme.example/directory\""), "https, or http on a loopback address"),
        (certified("", "contact = \"ops\""), "a mail address"),
        (certified("", "contact = \"ops@example.com?to=everybody\""), "a mail address"),
        (certified("", "contact = \"a@example.com,b@example.com\""), "a mail address"),
        (certified("", "eab_key_id = \"kid\""), "has no effect without `acme.eab_key_file`"),
        (certified("", "eab_key_file = \"/k\""), "has no effect without `acme.eab_key_id`"),
        (certified("", "renew_before = \"1m\""), "less than an hour"),
        (certified("", "renew = \"30d\""), "is not a key"),
    ] {
        let found = faults(&text);
        assert!(found.iter().any(|fault| fault.contains(wanted)), "{wanted}: {found:?}");
    }
}

#[test]
fn a_secret_that_anybody_can_read_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let place = std::env::temp_dir().join(format!("trackgate-config-{}", uuid::Uuid::new_v4()));
    std::fs::create_dir(&place).unwrap();
    let text = MINIMAL
        .replace("/etc/trackgate/tls", place.to_str().unwrap())
        .replace("/etc/trackgate", place.to_str().unwrap());
    let file = place.join("trackgate.toml");
    std::fs::write(&file, text).unwrap();
    for (name, mode) in [("cert.pem", 0o644), ("key.pem", 0o644), ("google-client-secret", 0o604)] {
        std::fs::write(place.join(name), "x").unwrap();
        std::fs::set_permissions(place.join(name), std::fs::Permissions::from_mode(mode)).unwrap();
    }
    let refused = Config::load(&file).unwrap_err();
    let keys: Vec<_> = refused.faults.iter().map(|fault| (fault.key.as_str(), fault.line.is_some())).collect();
    assert_eq!(keys, [("listen.private_key", true), ("issuer[1].login.client_secret_file", true)], "{refused}");
    // On Cloud Run there is nobody else.
    let there = Config::parse(&std::fs::read_to_string(&file).unwrap()).unwrap().missing_files(true);
    assert!(there.is_empty(), "{there:?}");
    for name in ["key.pem", "google-client-secret"] {
        std::fs::set_permissions(place.join(name), std::fs::Permissions::from_mode(0o640)).unwrap();
    }
    assert!(Config::load(&file).is_ok());
    std::fs::remove_file(place.join("cert.pem")).unwrap();
    let refused = Config::load(&file).unwrap_err();
    assert!(refused.to_string().contains("`listen.certificate` names"), "{refused}");
    std::fs::remove_dir_all(place).unwrap();
}

/// A template of Terraform's as it comes out: values in their places, and of an `if` the one branch or the other.
fn filled_in(template: &str, first_branch: bool) -> String {
    let mut out = String::new();
    let (mut within, mut taken) = (false, true);
    for line in template.lines() {
        match line.trim_start_matches("%{ ").split(' ').next() {
            _ if !line.starts_with("%{") => {}
            Some("if") => (within, taken) = (true, first_branch),
            Some("else") => taken = !taken,
            _ => (within, taken) = (false, true),
        }
        if line.starts_with("%{") || !taken {
            continue;
        }
        let mut rest = line;
        while let Some((before, (inner, after))) =
            rest.split_once("${").and_then(|(b, a)| Some((b, a.split_once('}')?)))
        {
            out.push_str(before);
            out.push_str(match inner {
                "domain" => "mlflow.example.com",
                "project" => "demo-project",
                "database_host" => "db.example.com",
                "jsonencode(oidc.issuer)" => "\"https://accounts.google.com\"",
                "jsonencode(oidc.client_id)" => "\"1234\"",
                "jsonencode(acme.directory)" => "\"https://acme.example.com/directory\"",
                "jsonencode(acme.contact)" => "\"ops@example.com\"",
                "jsonencode(fronts)" => "[\"35.191.0.0/16\", \"203.0.113.8\"]",
                "jsonencode(oidc.hosted_domains)" | "jsonencode(hosted_domains)" => "[\"example.com\"]",
                "jsonencode(admins)" => "[\"ada@example.com\"]",
                other => panic!("nobody says what `{other}` is"),
            });
            rest = after;
        }
        out.push_str(rest);
        out.push('\n');
    }
    assert!(!within, "an `if` has no end");
    out.replace("@PUBLIC_URL@", "https://mlflow.example.com")
        .replace("@IAP_AUDIENCE@", "/projects/1/global/backendServices/2")
}

#[test]
fn the_configurations_of_the_terraform_examples_are_accepted() {
    let iap = include_str!("../../deploy/terraform/examples/vm-iap/trackgate.toml.tftpl");
    let run = include_str!("../../deploy/terraform/examples/cloud-run/trackgate.toml.tftpl");
    let vm = include_str!("../../deploy/terraform/examples/vm/trackgate.toml.tftpl");
    let read = |text: &str| Config::parse(text).unwrap_or_else(|faults| panic!("{faults:#?}\n{text}"));
    let files = filled_in(vm, true);
    assert!(files.contains("\ncertificate =") && !files.contains("[acme]"));
    read(&files);
    let acme = filled_in(vm, false);
    assert!(acme.contains("[acme]") && !acme.contains("\ncertificate ="));
    read(&acme);
    for text in [iap, run] {
        let config = read(&filled_in(text, true));
        assert!(config.print().contains("[iap]"), "nobody would ask for IAP's assertion");
        // Longer than Google's front keeps a connection.
        assert!(config.serve.limits.keep_alive > std::time::Duration::from_mins(10));
    }
}

#[test]
fn cloud_run_is_told_by_the_name_of_the_service_alone() {
    assert!(alone(Some("trackgate".as_ref())));
    assert!(!alone(Some("".as_ref())));
    assert!(!alone(None));
}

#[test]
fn groups_from_google_are_for_addresses_that_somebody_may_vouch_for() {
    let issuer = |more: &str| MINIMAL.replace("[issuer.login]", &format!("{more}\n[issuer.login]"));
    let hosted = MINIMAL.to_owned();
    let open = MINIMAL.replace("hosted_domains = [\"example.com\"]\n", "");
    assert_ne!(open, MINIMAL);
    let with = |base: &str, more: &str| format!("{base}\n[google_groups]\n{more}");
    let domains = "domains = [\"Example.com\", \"p.iam.gserviceaccount.com\"]";
    let config = Config::parse(&with(&hosted, domains)).unwrap_or_else(|faults| panic!("{faults:#?}"));
    let google = config.authenticate.google_groups.unwrap();
    assert_eq!(google.domains, ["example.com", "p.iam.gserviceaccount.com"]);
    let default = Config::parse(MINIMAL).unwrap_or_else(|faults| panic!("{faults:#?}"));
    assert!(default.authenticate.google_groups.is_none(), "off by default");

    for (text, wanted) in [
        (with(&hosted, ""), "`google_groups.domains` is required"),
        (with(&hosted, "domains = []"), "nobody would be looked up"),
        (with(&hosted, "domains = [\"*.example.com\"]"), "a mail domain"),
        (with(&hosted, "domains = [\"alice@example.com\"]"), "a mail domain"),
        (with(&open, domains), "needs `hosted_domains` of the issuer"),
        (with(&issuer("user_claim = \"sub\""), domains), "no issuer names people by their verified address"),
        (with(&issuer("danger_accept_unverified_email = true"), domains), "no issuer names people by their verified"),
        (with(&hosted, &format!("{domains}\nfresh = \"1s\"")), "less than ten seconds"),
        (with(&hosted, &format!("{domains}\nkeep = \"1m\"")), "shorter than `google_groups.fresh`"),
        (with(&hosted, &format!("{domains}\nkeep = \"2d\"")), "longer than a day"),
        (with(&hosted, &format!("{domains}\ntimeout = \"2m\"")), "between one and thirty seconds"),
        (with(&hosted, &format!("{domains}\nfresh = \"10s\"\ntimeout = \"11s\"")), "longer than `google_groups.fresh`"),
        (with(&hosted, &format!("{domains}\ncustomer = \"C1' || true\"")), "Google's customer id"),
        (with(&hosted, &format!("{domains}\napi_url = \"http://google.example\"")), "or http on a loopback address"),
        (with(&hosted, &format!("{domains}\nmetadata_url = \"http://metadata.google.internal\"")), "and no name"),
        (
            with(&hosted, &format!("{domains}\nkey_file = \"/k\"\nmetadata_url = \"http://127.0.0.1\"")),
            "has no effect beside",
        ),
        (with(&IAP.replace("hosted_domains = [\"example.com\"]", ""), domains), "needs `iap.hosted_domains`"),
    ] {
        let found = faults(&text);
        assert!(found.iter().any(|fault| fault.contains(wanted)), "{wanted}: {found:?}");
    }
}

#[test]
fn traces_are_sent_where_that_is_safe_and_of_a_share_between_nothing_and_all() {
    assert!(Config::parse(MINIMAL).unwrap_or_else(|faults| panic!("{faults:#?}")).trace.is_none(), "off by default");
    let with = |more: &str| format!("{MINIMAL}\n[trace]\n{more}\n");
    let trace = |more: &str| Config::parse(&with(more)).unwrap_or_else(|faults| panic!("{faults:#?}")).trace.unwrap();
    let plain = "otlp_endpoint = \"http://collector.monitoring:4318\"";
    let found = trace(plain);
    assert_eq!(found.sample.to_string(), "0.05");
    assert_eq!((found.collector.service.as_str(), found.collector.credentials), ("trackgate", None));
    for share in ["0", "1", "0.5", "1.0", "5e-3"] {
        trace(&format!("{plain}\nsample = {share}"));
    }
    let google = "otlp_endpoint = \"https://telemetry.googleapis.com\"";
    let project = "\n[log]\ngoogle_project = \"my-project\"";
    let found = trace(&format!("{google}{project}")).collector;
    assert_eq!(found.google_project.as_deref(), Some("my-project"));
    assert!(found.credentials.unwrap().key_file.is_none(), "the machine's own");
    assert_eq!(trace(&format!("{google}\ngoogle_auth = false{project}")).collector.credentials, None);

    for (more, wanted) in [
        ("", "`trace.otlp_endpoint` is required"),
        ("otlp_endpoint = \"collector:4318\"", "an OTLP/HTTP receiver"),
        ("otlp_endpoint = \"grpc://collector:4317\"", "an OTLP/HTTP receiver"),
        ("otlp_endpoint = \"http://me:hunter2@collector\"", "without user, password"),
        ("otlp_endpoint = \"http://collector/?token=hunter2\"", "without user, password"),
        ("otlp_endpoint = \"http://collector/v1/traces\"", "`/v1/traces` is added"),
        (&format!("{plain}\nsample = 1.1"), "between 0 and 1"),
        (&format!("{plain}\nsample = -1"), "between 0 and 1"),
        (&format!("{plain}\nsample = nan"), "between 0 and 1"),
        (&format!("{plain}\nsample = \"all\""), "between 0 and 1"),
        (&format!("{plain}\nservice_name = \"\""), "a name such as"),
        (&format!("{plain}\nca_file = \"/ca.pem\""), "is not https"),
        (&format!("{plain}\ngoogle_auth = true"), "a token would be shown"),
        (&format!("{plain}\ngoogle_key_file = \"/k\""), "has no effect without `trace.google_auth`"),
        (&format!("{plain}\nmetadata_url = \"http://127.0.0.1\""), "has no effect without `trace.google_auth`"),
        (google, "which wants to know the project"),
        (
            &format!("{google}\ngoogle_key_file = \"/k\"\nmetadata_url = \"http://127.0.0.1\"{project}"),
            "has no effect beside",
        ),
    ] {
        let found = faults(&with(more));
        assert!(found.iter().any(|fault| fault.contains(wanted)), "{wanted}: {found:?}");
        assert!(!found.concat().contains("hunter2"), "{found:?}");
    }
}

#[test]
fn a_file_of_another_version_is_told_so() {
    let of = |version: &str| format!("config_version = {version}\n{MINIMAL}");
    Config::parse(&of("1")).unwrap_or_else(|faults| panic!("{faults:#?}"));
    let newer = faults(&of("2"));
    assert!(newer.iter().any(|fault| fault.contains("of a newer Trackgate; this one reads 1")), "{newer:?}");
    let older = faults(&of("0"));
    assert!(older.iter().any(|fault| fault.contains("`config_version` is 0; this program reads 1")), "{older:?}");
    assert!(!faults(&of("\"1\"")).is_empty());
}

/// No key was renamed so far: these are keys of a version that never was.
#[test]
fn a_key_of_an_earlier_version_is_told_what_became_of_it() {
    use super::reader::{Moved, Report, Section};
    const MOVED: &[Moved] = &[
        Moved { old: "door.cert", now: "is called `door.certificate` now" },
        Moved { old: "issuer.secret", now: "is gone: name a file with `issuer.secret_file`" },
    ];
    let text = "[door]\ncert = \"a\"\ncetificate = \"b\"\n[[issuer]]\n[[issuer]]\nsecret = \"x\"\n";
    let report = Report::with(text, MOVED);
    let (table, _) = toml::de::DeTable::parse_recoverable(text);
    let root = Section::root(table.get_ref(), &report);
    let door = root.section("door");
    let _: Option<PathBuf> = door.maybe("certificate");
    door.finish();
    for issuer in root.sections("issuer") {
        issuer.finish();
    }
    root.finish();
    let told: Vec<String> = report.faults.into_inner().iter().map(Fault::to_string).collect();
    assert_eq!(
        told,
        [
            "line 2: `door.cert` is not a key; it is called `door.certificate` now",
            "line 3: `door.cetificate` is not a key; did you mean `certificate`?",
            "line 6: `issuer[2].secret` is not a key; it is gone: name a file with `issuer.secret_file`",
        ]
    );
}
