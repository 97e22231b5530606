//! Do the AI gateway and the registries of MCP servers and skills serve whom they may, and nobody else?

use crate::house::{newest, shared};

#[test]
fn the_ai_gateway_asks_its_provider_for_those_alone_who_may_use_the_endpoint() {
    let house = shared();
    let said = house.play("gateway.py");
    let mut last = said.trim().rsplit('\n').next().unwrap().split(' ');
    let [endpoint, _, secret, key] = [(); 4].map(|()| last.next().unwrap().to_owned());
    // What was asked stands in the log, the provider's key nowhere.
    house.audit(|record| record["call"] == "Invocations" && record.to_string().contains(&endpoint));
    house.audit(|record| record["call"] == "DeleteGatewaySecret" && record.to_string().contains(&secret));
    for file in [house.gate.audit().to_owned(), house.folder.join("trackgate.log")] {
        let told = std::fs::read_to_string(&file).unwrap();
        assert!(!told.contains(&key), "the provider's key stands in {}", file.display());
    }
}

#[test]
fn the_registry_of_mcp_servers_follows_the_grants() {
    shared().play("mcp.py");
}

/// Skills came with 3.18.
#[test]
fn the_registry_of_skills_follows_the_grants() {
    newest().play("skills.py");
}
