//! `hyperty node status`: how a message node is, for a person or as JSON.

use hyperty_message_node::admin::{GetError, http_get};
use hyperty_message_node::{NodeStatus, Readiness, SessionStatus};

use crate::exit::{Exit, Failure};
use crate::output::{Format, Output};

/// Asks the node at `url` and prints what it says.
///
/// # Errors
/// When it cannot be asked, or does not tell.
pub(crate) async fn run(url: &str, output: &Output) -> Result<(), Failure> {
    let page = page(url)?;
    let (code, text) = http_get(&page).await.map_err(|error| {
        let exit = match error {
            GetError::Address(_) => Exit::Usage,
            GetError::TimedOut(_) | GetError::Unreachable { .. } => Exit::Timeout,
            _ => Exit::Error,
        };
        Failure::new(exit, error)
    })?;
    match code {
        200 => {}
        403 => return Err(Failure::new(Exit::NotAuthorised, format_args!("{page}: {}", text.trim()))),
        404 => return Err(Failure::new(Exit::NotFound, format_args!("{page} is not served; see --admin"))),
        other => return Err(Failure::error(format_args!("{page} answers {other}: {}", text.trim()))),
    }
    let no_node = |error| Failure::error(format_args!("{page} is no message node's: {error}"));
    let status: NodeStatus = serde_json::from_str(&text).map_err(no_node)?;
    match output.format() {
        Format::Ndjson => output.json(&status),
        Format::Text => output.line(&table(&status)),
    };
    Ok(())
}

/// The address of the status page of a node, from that of its sessions or of its pages.
fn page(url: &str) -> Result<String, Failure> {
    if url.starts_with("wss://") || url.starts_with("https://") {
        let text = format!(
            "{url}: how a node is is asked without TLS; name the address of its --admin as http://host:port"
        );
        return Err(Failure::usage(text));
    }
    let rest = url.strip_prefix("ws://").or_else(|| url.strip_prefix("http://"));
    let host = rest.map(|rest| rest.split('/').next().unwrap_or_default()).filter(|host| !host.is_empty());
    let host = host.ok_or_else(|| {
        Failure::usage(format_args!(
            "{url:?} is no address such as ws://127.0.0.1:9090/ws or http://127.0.0.1:9091"
        ))
    })?;
    Ok(format!("http://{host}/status"))
}

fn table(status: &NodeStatus) -> String {
    let NodeStatus { domain, uptime_seconds, readiness, store, stats, sessions } = status;
    let uptime = std::time::Duration::from_secs(*uptime_seconds as u64);
    let ready = match readiness {
        Readiness::Ready => "ready".to_owned(),
        Readiness::NotReady { reasons } => format!("NOT READY: {}", reasons.join("; ")),
    };
    let store = match &store.failed {
        Some(why) => format!("FAILED: {why}"),
        None => format!("works, {} answers wait for it", store.pending),
    };
    let mut text = format!(
        "{domain} is {ready}, up {}\n\
         store        {store}\n\
         sessions     {} live, {} waiting for their runtimes; {} opened, {} taken up again, {} ended, {} not admitted\n\
         connections  {}\n\
         routes       {} addresses listened to, {} bound\n\
         queues       {} messages, {} bytes\n\
         messages     {} in, {} out; {} updates conflated, {} queues overflowed\n\
         other        {} refused, {} unrouted, {} looped, {} repairs\n",
        humantime::format_duration(uptime),
        stats.live,
        stats.sessions - stats.live.min(stats.sessions),
        stats.opened,
        stats.reopened,
        stats.ended,
        stats.not_admitted,
        stats.connections,
        stats.routes,
        stats.bound,
        stats.queued,
        stats.queued_bytes,
        stats.received,
        stats.delivered,
        stats.conflated,
        stats.overflowed,
        stats.refused,
        stats.unrouted,
        stats.looped,
        stats.repairs,
    );
    if sessions.is_empty() {
        return text;
    }
    text.push_str("\nsession  state   routes  waiting      bytes  conflated  runtime");
    for SessionStatus { session, runtime, live, routes, queued, queued_bytes, conflated } in sessions {
        let state = if *live { "live" } else { "away" };
        text.push_str(&format!(
            "\n{session:>7}  {state:<6}  {routes:>6}  {queued:>7}  {queued_bytes:>9}  {conflated:>9}  {runtime}"
        ));
    }
    if stats.sessions > sessions.len() {
        text.push_str(&format!("\n… and {} with less waiting", stats.sessions - sessions.len()));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_found_from_either_address() {
        for url in ["ws://127.0.0.1:9090/ws", "http://127.0.0.1:9090", "http://127.0.0.1:9090/status"] {
            assert_eq!(page(url).unwrap(), "http://127.0.0.1:9090/status");
        }
        for url in ["127.0.0.1:9090", "ws:///ws", "wss://example.com/ws"] {
            assert_eq!(page(url).unwrap_err().exit, Exit::Usage, "{url}");
        }
    }
}
