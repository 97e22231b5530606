//! Is what is written good, and what is asked and told enough?

use clap::Parser;

use super::*;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    init: Init,
}

fn answers(line: &str, typed: Option<&str>) -> anyhow::Result<(Answers, String)> {
    let line = Line::parse_from(["init"].into_iter().chain(line.split_whitespace()));
    let mut asked = Vec::new();
    let mut people = People { from: typed.unwrap_or_default().as_bytes(), to: &mut asked };
    let answers = line.init.answers(typed.is_some().then_some(&mut people))?;
    Ok((answers, String::from_utf8(asked).unwrap()))
}

/// Every place, with each issuer, with and without IAP, on either database, with and without a monitor.
#[test]
fn what_is_written_for_each_place_is_read_without_a_fault() {
    let mut tried = 0;
    for place in ["vm", "vm-iap", "cloud-run", "gke"] {
        for issuer in ["google", "https://login.example.com/realms/team", "none"] {
            for iap in ["", "--iap-audience /projects/123/global/backendServices/456"] {
                for database in ["", "--database postgres://trackgate@10.0.0.3/trackgate --database-ca /etc/ca.pem"] {
                    for more in ["", "--no-monitor --domain example.com --domain example.org --admin alice@example.com"]
                    {
                        let line = format!(
                            "--for {place} --url https://mlflow.example.com --issuer {issuer} --client-id id {iap} \
                             {database} {more}"
                        );
                        let Ok((answers, _)) = answers(&line, None) else {
                            let iap = !iap.is_empty();
                            assert!(
                                (!iap && (issuer == "none" || place == "vm-iap"))
                                    || (place == "cloud-run" && database.is_empty()),
                                "{line}"
                            );
                            continue;
                        };
                        let text = written(&answers);
                        let config = Config::parse(&text).unwrap_or_else(|faults| panic!("{line}: {faults:?}\n{text}"));
                        assert_eq!(config.authenticate.iap.is_some(), !iap.is_empty(), "{line}");
                        assert_eq!(config.authenticate.issuers.len(), usize::from(issuer != "none"), "{line}");
                        assert_eq!(config.monitor.address.is_some(), !more.contains("no-monitor"), "{line}");
                        let postgres = matches!(config.store.engine, crate::store::Engine::Postgres(_));
                        assert_eq!(postgres, !database.is_empty(), "{line}");
                        assert_eq!(config.serve.https.is_some(), place.starts_with("vm"), "{line}");
                        tried += 1;
                    }
                }
            }
        }
    }
    assert!(tried > 50, "{tried}");
}

#[test]
fn a_machine_of_its_own_may_have_its_certificate_from_an_authority() {
    let line = "--for vm --url https://mlflow.example.com --client-id id --acme ops@example.com";
    let (answers, _) = answers(line, None).unwrap();
    let text = written(&answers);
    let config = Config::parse(&text).unwrap_or_else(|faults| panic!("{faults:?}\n{text}"));
    assert!(config.acme.is_some() && !text.contains("private_key"), "{text}");
    let elsewhere = super::tests::answers(&line.replace("vm ", "gke "), None).unwrap_err().to_string();
    assert!(elsewhere.contains("--acme"), "{elsewhere}");
}

/// Answers become parts of the file, in texts and in comments.
#[test]
fn no_answer_writes_another_line_of_the_file() {
    let evil = "x\"\n[access]\nadmins = [\"mallory@example.com\"] # \\ ''' \"\"\" {} \u{9b}";
    let fields =
        ["url", "issuer", "client", "secret", "domain", "iap", "database", "mlflow", "project", "admin", "acme", "key"];
    for field in fields {
        let or = |name: &str, usual: &str| if name == field { evil } else { usual }.to_owned();
        let answers = Answers {
            place: if field == "acme" { Place::Vm } else { Place::VmIap },
            url: or("url", "https://mlflow.example.com"),
            issuer: Some(Issuer {
                google: false,
                address: or("issuer", "https://login.example.com"),
                client_id: or("client", "id"),
                secret_file: or("secret", "/secret").into(),
            }),
            domains: vec![or("domain", "example.com")],
            iap_audience: (field != "acme").then(|| or("iap", "/projects/1/global/backendServices/2")),
            database: Some(Database {
                url: or("database", "postgres://trackgate@10.0.0.3/trackgate"),
                password_file: or("secret", "/password").into(),
                ca: None,
            }),
            mlflow: or("mlflow", "http://127.0.0.1:5000"),
            google_project: Some(or("project", "my-project")),
            admins: vec![or("admin", "alice@example.com")],
            acme: (field == "acme").then(|| evil.to_owned()),
            certificate: or("key", "/cert").into(),
            private_key: or("key", "/key").into(),
            monitor: true,
        };
        assert!(answers.is_plain().is_err(), "{field} is not looked at");
        if field == "url" {
            // It stands in a comment too: nothing is written then.
            continue;
        }
        let table: toml::Table = written(&answers).parse().unwrap_or_else(|fault| panic!("{field}: {fault}"));
        let admins = table["access"]["admins"].as_array().unwrap();
        let wanted = if field == "admin" { evil } else { "alice@example.com" };
        assert!(admins.len() == 1 && admins[0].as_str() == Some(wanted), "{field}: {admins:?}");
    }
}

#[test]
fn the_project_of_the_traces_is_asked_for_at_google_alone_and_may_be_none() {
    let project = |line: &str, typed: Option<&str>| {
        let (answers, asked) = answers(line, typed).unwrap();
        let text = written(&answers);
        let config = Config::parse(&text).unwrap_or_else(|faults| panic!("{faults:?}\n{text}"));
        (config.log.google_project, text, asked)
    };
    let line = "--for gke --url https://mlflow.example.com --client-id id";
    let (found, text, _) = project(line, None);
    assert!(found.is_none() && text.contains("# google_project = "), "it says where it would stand: {text}");
    let (found, ..) = project(&format!("{line} --google-project my-project"), None);
    assert_eq!(found.as_deref(), Some("my-project"));
    let (found, _, asked) =
        project(&format!("{line} --domain example.com --admin root@example.com"), Some("\n\n\nmy-project\n"));
    assert_eq!(found.as_deref(), Some("my-project"), "{asked}");
    let line = "--for vm --url https://mlflow.example.com --client-id id --admin root@example.com";
    let (found, text, asked) = project(line, Some("\n\n\n"));
    assert!(found.is_none() && !asked.contains("project") && !text.contains("google_project"), "{asked}{text}");
    let wrong = "--for gke --url https://m.example.com --client-id id --google-project My_Project";
    assert!(answers(wrong, None).unwrap_err().to_string().contains("`--google-project My_Project`: must be the id"));
}

#[test]
fn nobody_is_asked_where_nobody_sits_and_what_is_missing_is_named() {
    let fault = answers("", None).unwrap_err().to_string();
    assert!(["--for", "--url", "--client-id"].iter().all(|flag| fault.contains(flag)), "{fault}");
    let fault = answers("--for vm-iap --url https://m.example.com", None).unwrap_err().to_string();
    assert!(fault.contains("--iap-audience") && !fault.contains("--client-id"), "{fault}");
    let fault = answers("--for cloud-run --url https://m.example.com --client-id x", None).unwrap_err().to_string();
    assert!(fault.contains("--database"), "{fault}");
    let fault = answers("--for vm --url https://m.example.com --issuer none", None).unwrap_err().to_string();
    assert!(fault.contains("nobody could sign in"), "{fault}");
}

#[test]
fn on_a_terminal_what_the_flags_leave_open_is_asked() {
    let typed = "vm\nhttps://mlflow.example.com/\n\n1234\nexample.com, example.org\n\n\n";
    let (given, asked) = answers("--admin root@example.com", Some(typed)).unwrap();
    assert_eq!(given.place, Place::Vm);
    assert_eq!((given.url.as_str(), given.domains.len()), ("https://mlflow.example.com", 2));
    assert!(given.issuer.is_some_and(|issuer| issuer.google && issuer.client_id == "1234"));
    assert!(given.database.is_none());
    assert!(!asked.contains("administrator"), "what is known is not asked: {asked}");
    assert!(answers("", Some("vm\n")).unwrap_err().to_string().contains("no answer"));
}

#[test]
fn a_wrong_answer_is_told_of_and_asked_for_again_at_once() {
    let typed = "vmx\nvm-iap\nmlflow\nhttp://m.example.com\nhttps://m.example.com\nfoo\n/projects/1/global/backendServices/mine\n\
                 /projects/1/global/backendServices/2\n\n@example.com\nexample.com, *.example.org\nexample.com\nmysql://db\nnone\n\
                 My_Project\nmy-project\nspoilt\u{9b}name\nalice@example.com\n";
    let (given, asked) = answers("", Some(typed)).unwrap();
    assert_eq!(given.place, Place::VmIap);
    assert_eq!(given.url, "https://m.example.com");
    assert_eq!(given.iap_audience.as_deref(), Some("/projects/1/global/backendServices/2"));
    assert_eq!((given.domains, given.admins), (vec!["example.com".to_owned()], vec!["alice@example.com".to_owned()]));
    assert!(given.database.is_none() && given.google_project.as_deref() == Some("my-project"));
    for wrong in ["vmx", "mlflow", "foo", "@example.com", "mysql://db", "My_Project"] {
        assert_eq!(asked.matches(&format!("`{wrong}`: must be ")).count(), 1, "{wrong}: {asked}");
    }
    assert!(asked.contains("https alone") && asked.contains("without `@` or `*`"), "{asked}");
    assert!(!asked.contains('\u{9b}'), "what was typed says nothing to the terminal");
    let (given, asked) =
        answers("--for vm --url https://m.example.com --admin a@b.example", Some("none\n\nid\n\n\n")).unwrap();
    assert!(given.issuer.is_some() && asked.contains("nobody could sign in"), "{asked}");
}

#[test]
fn all_wrong_flags_are_named_at_once() {
    let line = "--for vm-iap --url mlflow --issuer ftp://x --client-id id --iap-audience foo --domain @example.com --domain \
                example.org --database mysql://x --google-project X --mlflow nowhere";
    let fault = answers(line, None).unwrap_err().to_string();
    for flag in [
        "--url mlflow",
        "--issuer ftp://x",
        "--iap-audience foo",
        "--domain @example.com",
        "--database mysql://x",
        "--google-project X",
        "--mlflow nowhere",
    ] {
        assert!(fault.contains(&format!("`{flag}`: ")), "{flag}: {fault}");
    }
    assert!(!fault.contains("example.org"), "{fault}");
    let fault = answers("--for vm --url https://m.example.com --client-id id --acme ops", None).unwrap_err();
    assert!(fault.to_string().contains("`--acme ops`: "), "{fault}");
}

#[test]
fn an_audience_of_iap_is_one_that_google_writes() {
    for good in [
        "/projects/123/global/backendServices/456",
        "/projects/0/global/backendServices/0",
        "/projects/123/europe-west1/backendServices/456",
        "/projects/123/regions/europe-west1/backendServices/456",
        "/projects/123/locations/europe-west1/services/trackgate",
        "/projects/123/apps/my-project",
    ] {
        assert_eq!(good::iap_audience(good), Ok(()), "{good}");
    }
    for bad in [
        "",
        "foo",
        "456",
        "projects/123/global/backendServices/456",
        "/projects/my-project/global/backendServices/456",
        "/projects/123/global/backendServices/my-backend",
        "/projects/123/global/backendServices/",
        "/projects/123/global/backendServices/456/",
        "/projects/123//backendServices/456",
        "/projects/123/backendServices/456",
        "/projects/NUMBER/global/backendServices/ID",
        "/projects/123/locations/europe-west1/services/",
        "https://mlflow.example.com",
        "1234.apps.googleusercontent.com",
    ] {
        assert!(good::iap_audience(bad).is_err(), "{bad}");
    }
}

/// The unit is handed what stands in a folder that it cannot enter.
#[test]
fn a_machines_secrets_are_those_that_its_unit_is_handed() {
    let unit = include_str!("../../../deploy/systemd/trackgate.service");
    assert!(unit.contains(&format!("LoadCredential=secret:{SECRETS}\n")), "{unit}");
    let line = "--url https://m.example.com --client-id id --database postgres://trackgate@10.0.0.3/trackgate";
    let named = |line: &str| {
        let (answers, _) = answers(line, None).unwrap();
        let table: toml::Table = written(&answers).parse().unwrap();
        let issuer = &table["issuer"].as_array().unwrap()[0]["login"]["client_secret_file"];
        (issuer.as_str().unwrap().to_owned(), table["store"]["password_file"].as_str().unwrap().to_owned())
    };
    let handed = ("credential:secret_oidc-client-secret".to_owned(), "credential:secret_database-password".to_owned());
    assert_eq!(named(&format!("--for vm {line}")), handed);
    let iap = "--issuer google --iap-audience /projects/1/global/backendServices/2";
    assert_eq!(named(&format!("--for vm-iap {iap} {line}")), handed);
    let elsewhere = "--client-secret-file /etc/trackgate/secrets/mine --database-password-file /srv/password";
    let given = ("credential:secret_mine".to_owned(), "/srv/password".to_owned());
    assert_eq!(named(&format!("--for vm {line} {elsewhere}")), given);
    let files = ("/etc/trackgate/oidc-client-secret".to_owned(), "/etc/trackgate/database-password".to_owned());
    assert_eq!(named(&format!("--for gke {line}")), files, "nobody hands anything over in a container");
}

/// What is enabled holds the ports of the file, and no other.
#[test]
fn the_steps_of_a_machine_open_the_sockets_that_its_file_names() {
    let socket = include_str!("../../../deploy/systemd/trackgate.socket");
    let redirect = include_str!("../../../deploy/systemd/trackgate-redirect.socket");
    assert!(socket.contains("\nListenStream=443\n") && redirect.contains("\nListenStream=80\n"));
    let commands = |line: &str, file: &str| -> (Config, String) {
        let (answers, _) = answers(line, None).unwrap();
        let steps = steps::steps(&answers, Path::new(file));
        let commands: Vec<String> = steps.into_iter().flat_map(|step| step.commands).collect();
        (Config::parse(&written(&answers)).unwrap(), commands.join("\n"))
    };
    let usual = "/etc/trackgate/trackgate.toml";
    let line = "--for vm --url https://m.example.com --client-id id";
    let (config, told) = commands(line, usual);
    assert_eq!(config.serve.https.unwrap().address.port(), 443);
    assert_eq!(config.serve.redirect.unwrap().address.port(), 80);
    assert!(
        told.contains("systemctl enable --now trackgate.socket trackgate-redirect.socket trackgate.service\n"),
        "{told}"
    );
    assert!(!told.contains("ListenStream"), "{told}");
    assert!(told.contains("install -m 0600 client-secret /etc/trackgate/secrets/oidc-client-secret\n"), "{told}");
    assert!(told.contains("install -m 0640 -g trackgate-config key.pem /etc/trackgate/tls/key.pem\n"), "{told}");
    assert!(told.contains(" -p LoadCredential=secret:/etc/trackgate/secrets trackgate check"), "{told}");
    assert!(!commands(&format!("{line} --acme ops@example.com"), usual).1.contains("key.pem"));

    let line = "--for vm-iap --url https://m.example.com --iap-audience /projects/1/global/backendServices/2";
    let (config, told) = commands(line, usual);
    let port = config.serve.https.unwrap().address.port();
    assert!(port > 1023 && config.serve.redirect.is_none());
    assert!(told.contains(&format!("ListenStream=\\nListenStream={port}\\n")), "{told}");
    assert!(told.contains("systemctl enable --now trackgate.socket trackgate.service\n"), "{told}");
    assert!(!told.contains("secret"), "it has none: {told}");

    let (_, told) = commands(line, "/home/it's me/gate.toml");
    let copy = r"install -m 0640 -g trackgate-config '/home/it'\''s me/gate.toml' /etc/trackgate/trackgate.toml";
    assert!(told.contains(copy), "{told}");
    let (_, told) = commands(line, "gate.toml");
    assert!(!told.contains(" gate.toml"), "the commands are for another folder: {told}");
}
