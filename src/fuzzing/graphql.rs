//! Is a GraphQL document understood whole, and within bounds?

use std::collections::HashMap;

use crate::mlflow::graphql::{self, Document, Json, Root};

/// A document and, behind zero bytes, its variables and the operation that is meant.
pub fn graphql(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (document, rest) = text.split_once('\0').unwrap_or((text, "{}"));
    let (variables, operation) = rest.split_once('\0').map_or((rest, None), |(first, last)| (first, Some(last)));
    let Ok(variables) = serde_json::from_str::<HashMap<String, Json>>(variables) else { return };
    let Ok(document) = graphql::read(document, &variables, operation) else { return };
    let Ok(asked) = document.asked() else { panic!("what it names was read before: {text:?}") };
    let named = asked.experiments.iter().chain(&asked.searched).chain(&asked.runs).chain(&asked.paths);
    for id in named {
        assert!(text.contains(id.as_str()) || text.contains('\\'), "{id:?} stands nowhere in {text:?}");
    }
    again(&document);
}

/// What is written for MLflow reads back as what was judged, and asks for what tells objects besides.
fn again(document: &Document) {
    let roots: Vec<(&Root, &Json)> = document.roots.iter().map(|root| (root, &root.input)).collect();
    let body = document.body(&roots);
    assert!(body.len() < 1 << 20, "{} bytes", body.len());
    let Ok(plain) = serde_json::from_str::<serde_json::Value>(&body) else { panic!("no JSON is written: {body}") };
    let text = plain["query"].as_str().unwrap_or_default();
    // Without what is ours, which a caller may not ask for.
    let ours = [
        "trackgate_info: info { run_id: runUuid experiment_id: experimentId }",
        "trackgate_name: name trackgate_version: version trackgate_tags: tags { key value }",
        "trackgate_id: experimentId",
        "trackgate_id: modelId",
        "trackgate_next: nextPageToken",
    ];
    let text = ours.iter().fold(text.to_owned(), |text, ours| text.replace(ours, ""));
    let Ok(variables) = serde_json::from_value::<HashMap<String, Json>>(plain["variables"].clone()) else {
        panic!("no variables are written: {body}")
    };
    let read = graphql::read(&text, &variables, plain["operationName"].as_str());
    let Ok(read) = read else { panic!("{read:?}: {text}") };
    assert_eq!(read.asked(), document.asked());
    assert_eq!(shape(&read), shape(document));
}

fn shape(document: &Document) -> Vec<String> {
    let roots = document.roots.iter();
    roots.map(|root| format!("{} {} {} {:?}", root.key, root.operation.name, root.input, root.selected)).collect()
}
