//! The architecture, written as what is absent. What is checked is the manifests as cargo reads them, and the files.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Which crates of the workspace each may use. One that is not here is no part of the architecture: `tests`, `xtask` and
/// `examples` use what they show.
const MAY_USE: [(&str, &[&str]); 12] = [
    ("model", &[]),
    ("message-bus", &["model"]),
    ("storage", &["model"]),
    ("policy", &["model"]),
    ("address-allocation", &["model", "message-bus", "storage"]),
    ("registry", &["model", "message-bus", "storage"]),
    ("sync-manager", &["model", "message-bus", "address-allocation", "registry", "storage", "policy"]),
    ("syncher", &["model", "message-bus"]),
    ("protostub", &["model", "message-bus"]),
    (
        "runtime",
        &[
            "model",
            "message-bus",
            "address-allocation",
            "registry",
            "storage",
            "policy",
            "sync-manager",
            "syncher",
            "protostub",
        ],
    ),
    ("message-node", &["model", "message-bus", "address-allocation", "registry", "storage", "policy"]),
    ("cli", &["model", "storage", "runtime", "message-node", "protostub", "conformance"]),
];

/// Libraries that speak WebSocket or HTTP, and who may know them.
const TRANSPORTS: [&str; 5] = ["tokio-tungstenite", "tungstenite", "axum", "hyper", "hyper-util"];
const KNOW_TRANSPORTS: [&str; 2] = ["protostub", "message-node"];

/// Who may start tasks or threads that live on. The storage has one thread, which writes.
const SPAWN: [&str; 7] =
    ["runtime", "message-node", "protostub", "storage", "conformance", "cli", "examples"];

const LINES_MAX: usize = 400;

struct Workspace {
    root: PathBuf,
    packages: Vec<Value>,
}

fn workspace() -> Workspace {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--offline", "--no-deps"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo prints JSON");
    let root = PathBuf::from(metadata["workspace_root"].as_str().expect("a root"));
    Workspace { root, packages: metadata["packages"].as_array().expect("packages").clone() }
}

fn name(package: &Value) -> &str {
    let name = package["name"].as_str().expect("a name");
    name.strip_prefix("hyperty-").unwrap_or(name)
}

fn folder(package: &Value) -> &Path {
    Path::new(package["manifest_path"].as_str().expect("a manifest")).parent().expect("a folder")
}

/// What a package is built with; what its tests use is not its business.
fn dependencies(package: &Value) -> BTreeSet<&str> {
    let all = package["dependencies"].as_array().expect("dependencies").iter();
    all.filter(|one| one["kind"].is_null()).map(name).collect()
}

fn by_name(workspace: &Workspace) -> BTreeMap<&str, BTreeSet<&str>> {
    workspace.packages.iter().map(|package| (name(package), dependencies(package))).collect()
}

/// All Rust files below a folder, with their text.
fn files(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.expect("a folder is read").path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("a file is read");
            found.push((path, text));
        }
    }
}

#[test]
fn crates_use_only_what_lies_below_them() {
    let workspace = workspace();
    let all = by_name(&workspace);
    let ours: BTreeSet<&str> = all.keys().copied().collect();
    for (who, allowed) in MAY_USE {
        let used = all.get(who).unwrap_or_else(|| panic!("there is no crate {who}"));
        for one in used.intersection(&ours) {
            assert!(allowed.contains(one), "{who} uses {one}");
        }
    }
    let table: BTreeSet<&str> = MAY_USE.iter().map(|(who, _)| *who).collect();
    let others: Vec<&&str> = ours.difference(&table).collect();
    assert_eq!(
        others,
        [&"conformance", &"examples", &"xtask"],
        "a new crate has to find its place in the table"
    );
}

#[test]
fn the_model_is_pure() {
    let workspace = workspace();
    for one in &by_name(&workspace)["model"] {
        let impure = ["tokio", "futures", "async", "tracing", "log", "parking_lot", "dashmap", "redb"];
        assert!(!impure.iter().any(|prefix| one.starts_with(prefix)), "the model uses {one}");
    }
    let mut sources = Vec::new();
    files(&workspace.root.join("model/src"), &mut sources);
    for (path, text) in sources {
        for word in
            ["async fn", ".await", "std::fs", "std::net", "std::thread", "println!", "SystemTime::now"]
        {
            // The one place where the wall clock is read, behind the trait.
            let clock = word == "SystemTime::now" && path.ends_with("clock.rs");
            assert!(clock || !text.contains(word), "{} has {word}", path.display());
        }
    }
}

#[test]
fn syncher_and_sync_manager_only_exchange_messages() {
    let workspace = workspace();
    let all = by_name(&workspace);
    assert!(!all["syncher"].contains("sync-manager") && !all["sync-manager"].contains("syncher"));
    assert!(!all["storage"].contains("message-bus"), "the storage knows nothing of messages");
}

#[test]
fn only_protostub_and_message_node_know_a_transport() {
    let workspace = workspace();
    for (who, used) in by_name(&workspace) {
        let found: Vec<&str> = TRANSPORTS.into_iter().filter(|one| used.contains(one)).collect();
        assert!(found.is_empty() || KNOW_TRANSPORTS.contains(&who), "{who} uses {found:?}");
    }
}

#[test]
fn only_the_outer_crates_start_tasks() {
    let workspace = workspace();
    for package in workspace.packages.iter().filter(|package| !SPAWN.contains(&name(package))) {
        let mut sources = Vec::new();
        files(&folder(package).join("src"), &mut sources);
        for (path, text) in sources {
            let tests = path.file_stem().is_some_and(|stem| stem == "tests");
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            let mut lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
            let spawns = lines.any(|line| line.contains("tokio::spawn") || line.contains("thread::spawn"));
            assert!(tests || !spawns, "{} starts a task", path.display());
        }
    }
}

#[test]
fn files_stay_short() {
    let workspace = workspace();
    let mut long = Vec::new();
    for package in &workspace.packages {
        for part in ["src", "tests", "benches"] {
            let mut sources = Vec::new();
            files(&folder(package).join(part), &mut sources);
            let counted = sources.into_iter().map(|(path, text)| (path, text.lines().count()));
            long.extend(counted.filter(|(_, lines)| *lines > LINES_MAX));
        }
    }
    assert_eq!(long, [], "split them");
}

#[test]
fn every_crate_inherits_the_lints_and_the_version_of_rust() {
    let workspace = workspace();
    let root = fs::read_to_string(workspace.root.join("Cargo.toml")).expect("the root manifest");
    let members: BTreeSet<&str> = workspace.packages.iter().map(name).collect();
    assert_eq!(members.len(), workspace.packages.len());
    for package in &workspace.packages {
        let manifest = fs::read_to_string(folder(package).join("Cargo.toml")).expect("a manifest");
        assert!(manifest.contains("[lints]\nworkspace = true"), "{} has lints of its own", name(package));
        let version = package["rust_version"].as_str().expect("a rust-version");
        assert!(root.contains(&format!("rust-version = \"{version}\"")), "{}: {version}", name(package));
    }
}

#[test]
fn the_readme_asks_for_the_version_of_rust_that_is_needed() {
    let workspace = workspace();
    let needed = workspace.packages[0]["rust_version"].as_str().expect("a rust-version");
    let readme = fs::read_to_string(workspace.root.join("README.md")).expect("a README");
    let told = readme.split("Rust 1.").skip(1).map(|rest| {
        let minor: String = rest.chars().take_while(char::is_ascii_digit).collect();
        format!("1.{minor}")
    });
    for version in told {
        assert_eq!(version, needed, "the README and the manifest");
    }
}

/// Two providers of cryptography in one process make rustls panic at the first handshake.
#[test]
fn rustls_has_one_provider_and_it_is_ring() {
    let lock = fs::read_to_string(workspace().root.join("Cargo.lock")).expect("Cargo.lock is there");
    let packages: BTreeSet<&str> =
        lock.lines().filter_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"')).collect();
    assert!(packages.contains("ring"));
    for other in ["aws-lc-rs", "aws-lc-sys", "openssl", "native-tls", "boring", "rsa"] {
        assert!(!packages.contains(other), "{other} came in");
    }
}
