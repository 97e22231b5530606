//! Does a real MLflow tell what its experiments are called, one by one and many at once, as grants on names need it?

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::house::shared;
use crate::stage::idp::accounts::{GUEST, OWNER};

#[test]
fn grants_on_names_reach_what_a_real_server_calls_so_and_follow_a_rename() {
    let house = shared();
    let url = |path: &str| format!("{}/api/2.0/mlflow/{path}", house.gate.url());
    let owner = |path: &str, body: Value| {
        let answer = house.web.post(&url(path), &house.token(&OWNER), &body).unwrap();
        (answer.status, answer.json())
    };
    let mut ids: Vec<String> = Vec::new();
    for n in 0..8 {
        let name = format!("names-{}/{n} 100%_'x", if n % 2 == 0 { "a" } else { "b" });
        let (status, made) = owner("experiments/create", json!({ "name": name }));
        assert_eq!(status, 200, "{made}");
        ids.push(made["experiment_id"].as_str().unwrap().to_owned());
        let (status, made) = owner("runs/create", json!({ "experiment_id": ids[n], "run_name": format!("run {n}") }));
        assert_eq!(status, 200, "{made}");
    }
    let guest = format!("user:{}", GUEST.email);
    house.gate.tell(&["grant", "add", &guest, "experiment_name", "names-a/*", "READ"]).unwrap();
    house.gate.tell(&["grant", "add", &guest, "experiment_name", "names-?/4*", "DENY"]).unwrap();
    let read = |id: &str| {
        house.web.get(&url(&format!("experiments/get?experiment_id={id}")), &house.token(&GUEST)).unwrap().status
    };
    let until = |what: &str, met: &dyn Fn() -> bool| {
        let begun = Instant::now();
        while !met() {
            assert!(begun.elapsed() < Duration::from_secs(20), "{what} does not come");
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    until("the grant", &|| read(&ids[0]) == 200 && read(&ids[4]) == 403);
    assert_eq!(read(&ids[1]), 403);
    let mine = [&ids[0], &ids[2], &ids[6]];

    let search = json!({"max_results": 1000, "view_type": "ALL"});
    let listed = house.web.post(&url("experiments/search"), &house.token(&GUEST), &search).unwrap().json();
    let mut seen: Vec<&str> =
        listed["experiments"].as_array().unwrap().iter().map(|row| row["experiment_id"].as_str().unwrap()).collect();
    seen.retain(|id| ids.iter().any(|own| own == id));
    seen.sort_unstable_by_key(|id| id.parse::<u64>().unwrap());
    assert_eq!(seen, mine);
    // More than are asked for one by one.
    let runs = json!({ "experiment_ids": ids, "max_results": 100 });
    let found = house.web.post(&url("runs/search"), &house.token(&GUEST), &runs).unwrap().json();
    let mut found: Vec<&str> =
        found["runs"].as_array().unwrap().iter().map(|run| run["info"]["experiment_id"].as_str().unwrap()).collect();
    found.sort_unstable_by_key(|id| id.parse::<u64>().unwrap());
    assert_eq!(found, mine);

    let (status, told) = owner("experiments/update", json!({ "experiment_id": ids[0], "new_name": "names-c/0" }));
    assert_eq!(status, 200, "an owner may: {told}");
    assert_eq!(read(&ids[0]), 403, "at once");
    let (status, told) = owner("experiments/update", json!({ "experiment_id": ids[1], "new_name": "names-a/1" }));
    assert_eq!(status, 200, "{told}");
    assert_eq!(read(&ids[1]), 200);
    let (status, _) = owner("experiments/update", json!({ "experiment_id": ids[4], "new_name": "names-c/open" }));
    assert_eq!(status, 403, "a DENY is not left behind");
    for names in ["names-a/*", "names-?/4*"] {
        house.gate.tell(&["grant", "remove", &guest, "experiment_name", names]).unwrap();
    }
}
