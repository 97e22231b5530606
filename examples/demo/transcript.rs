//! What does the demo show, and where does it send the person?

use std::path::Path;
use std::time::{Duration, Instant};

use http::Method;
use serde_json::json;

use super::stage::Fault;
use super::stage::idp::accounts::{ACCOUNTS, ADMIN, Account, GUEST, OWNER, READER, TRAINER};
use super::stage::web::Answer;
use super::story::{EXPERIMENT, HIDDEN, MODEL, Scene};

/// Real requests, through the gate, and what came back. What does not come out as it must is a failure of the demo.
pub(super) fn play(scene: &Scene, experiment: &str) -> Result<(), Fault> {
    println!("Who may what (real requests to {}):", scene.gate.url());
    let get = format!("experiments/get?experiment_id={experiment}");
    let tag = json!({ "experiment_id": experiment, "key": "reviewed", "value": "yes" });
    // A grant given on the command line is in force within a second.
    let begun = Instant::now();
    while ask(scene, &READER, &get, None)?.status != 200 && begun.elapsed() < Duration::from_secs(5) {
        std::thread::sleep(Duration::from_millis(50));
    }
    let acts: [(&Account, &str, &str, Option<&serde_json::Value>, u16); 7] = [
        (&OWNER, "reads the experiment", &get, None, 200),
        (&OWNER, "tags the experiment", "experiments/set-experiment-tag", Some(&tag), 200),
        (&READER, "reads the experiment", &get, None, 200),
        (&READER, "tags the experiment", "experiments/set-experiment-tag", Some(&tag), 403),
        (&GUEST, "reads the experiment", &get, None, 403),
        (&GUEST, "creates an experiment", "experiments/create", Some(&json!({ "name": "guest" })), 403),
        (&GUEST, "reads the model", "registered-models/get?name=iris-classifier", None, 403),
    ];
    for (who, what, path, body, wanted) in acts {
        let answer = ask(scene, who, path, body)?;
        let verdict = if answer.status.is_success() {
            "allowed".to_owned()
        } else {
            let message = answer.json()["message"].as_str().unwrap_or_default().to_owned();
            // The request's name, which ends the sentence, would only be noise here.
            format!("refused: {}", message.split(" (request ").next().unwrap_or_default())
        };
        println!("  {:<22} {what:<24} {} {verdict}", who.email, answer.status.as_u16());
        if answer.status != wanted {
            return Err(Fault::Unexpected(format!("{} {what}: {wanted} was due: {}", who.email, answer.text())));
        }
    }
    let stranger = scene.web.send(&Method::GET, &format!("{}/api/2.0/mlflow/{get}", scene.gate.url()), &[], "")?;
    println!("  {:<22} {:<24} {} refused", "(nobody)", "reads the experiment", stranger.status.as_u16());
    if stranger.status != 401 {
        return Err(Fault::Unexpected(format!("a stranger got {}", stranger.status)));
    }
    for (who, due) in [(&ADMIN, true), (&OWNER, false)] {
        let names = listed(&ask(scene, who, "experiments/search", Some(&json!({ "max_results": 100 })))?);
        println!("  {:<22} {:<24} {}", who.email, "lists experiments", names.join(", "));
        if names.iter().any(|name| name == HIDDEN) != due || !names.iter().any(|name| name == EXPERIMENT) {
            return Err(Fault::Unexpected(format!("{} lists {names:?}", who.email)));
        }
    }
    Ok(())
}

fn ask(scene: &Scene, who: &Account, path: &str, body: Option<&serde_json::Value>) -> Result<Answer, Fault> {
    let url = format!("{}/api/2.0/mlflow/{path}", scene.gate.url());
    let token = scene.token(who)?;
    match body {
        Some(body) => scene.web.post(&url, &token, body),
        None => scene.web.get(&url, &token),
    }
}

fn listed(answer: &Answer) -> Vec<String> {
    let found = answer.json();
    let names = found["experiments"].as_array().into_iter().flatten();
    names.filter_map(|experiment| experiment["name"].as_str()).map(ToOwned::to_owned).collect()
}

/// Where to go from here.
pub(super) fn directions(scene: &Scene) {
    println!("\nIn a browser: {}", scene.gate.url());
    println!(
        "  The certificate is signed by a throw-away CA ({}): the browser will warn.",
        shown(scene.authority.file())
    );
    println!("  Who can sign in, without a password:");
    for account in ACCOUNTS.iter().filter(|account| account.person) {
        println!("    {:<14} {:<22} {}", account.name, account.email, account.about);
    }
    println!("  `Model training` at the upper left opens experiments at their runs, `GenAI` at their traces.");
    println!("  Sign out at {}/trackgate/logout", scene.gate.url());
    println!("\nIn a script of your own, as the service account {} (tokens of the others lie beside):", TRAINER.email);
    println!("  export MLFLOW_TRACKING_URI={}", scene.gate.url());
    println!("  export MLFLOW_TRACKING_TOKEN=$(cat {})", shown(&scene.token_file(&TRAINER)));
    println!("  export MLFLOW_TRACKING_SERVER_CERT_PATH={}", shown(scene.authority.file()));
    println!("  {} examples/demo/train.py --experiment mine --model {MODEL}", shown(&scene.environment.python()));
    println!("\nThe audit log, a line for each request: {}", shown(scene.gate.audit()));
    println!("Trackgate's configuration: {}", shown(scene.gate.config()));
}

/// A path as one would type it from here, quoted where a shell wants it.
fn shown(path: &Path) -> String {
    let here = std::env::current_dir().ok();
    let path = here.as_deref().and_then(|here| path.strip_prefix(here).ok()).unwrap_or(path);
    let text = path.to_string_lossy();
    let plain = |char: char| char.is_ascii_alphanumeric() || "/._-+".contains(char);
    if text.chars().all(plain) { text.into_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}
