//! The list of all settings.

use super::Config;
use super::field::Field;

/// One setting.
pub(crate) struct Setting {
    /// Its key in a file, with dots for tables.
    pub key: &'static str,
    /// The variable that sets it.
    pub variable: &'static str,
    /// What it is, in one line.
    pub help: &'static str,
    /// Its place.
    pub field: for<'a> fn(&'a mut Config) -> Field<'a>,
}

macro_rules! settings {
    ($($key:literal $variable:literal $kind:ident($($path:ident).+) $help:literal;)*) => {
        /// All settings, in the order in which they are shown.
        pub(crate) const SETTINGS: &[Setting] = &[$(
            Setting { key: $key, variable: $variable, help: $help, field: |config| Field::$kind(&mut config.$($path).+) },
        )*];
    };
}

settings! {
    "log" "HYPERTY_LOG" Text(log) "what is logged to stderr: a level, or a filter";
    "output" "HYPERTY_OUTPUT" Output(output) "form of the output";

    "node.listen" "HYPERTY_LISTEN" Address(node.listen) "where the node listens";
    "node.domain" "HYPERTY_DOMAIN" Text(node.config.domain) "the domain it serves";
    "node.data" "HYPERTY_DATA" Path(node.data) "where allocations, registrations, schemas and backups are kept; in memory if not set";
    "node.durability" "HYPERTY_DURABILITY" Durability(node.durability) "when that counts as kept: `durable`, on disk; or `buffered:MS`, at once, and a crash loses at most that much";
    "node.admin" "HYPERTY_NODE_ADMIN" Admin(node.admin) "who is told `/metrics` and `/status`: callers on this machine, nobody, or whoever reaches an address of their own";
    "node.admission" "HYPERTY_NODE_ADMISSION" Admission(node.admission) "who may open a session: whoever is on this machine, whoever reaches the node, or who has a token";
    "node.issuer_keys" "HYPERTY_NODE_ISSUER_KEYS" Path(node.issuer_keys) "the file with the public keys of those whose tokens are believed";
    "node.tls_cert" "HYPERTY_NODE_TLS_CERT" Path(node.tls_cert) "the file with the chain of certificates that wss is served with";
    "node.tls_key" "HYPERTY_NODE_TLS_KEY" Path(node.tls_key) "the file with its private key";
    "node.dev_tls" "HYPERTY_NODE_DEV_TLS" Flag(node.dev_tls) "serve wss with a certificate of an authority of the node's own, for development";
    "node.enforce_publisher" "HYPERTY_NODE_ENFORCE_PUBLISHER" Flag(node.config.enforce_publisher) "only who holds or allocated an object publishes its changes";

    "node.enforce_subscriber" "HYPERTY_NODE_ENFORCE_SUBSCRIBER" MaybeFlag(node.config.enforce_subscriber) "only runtimes that the owner of an object has accepted listen to it; if not set, where sessions need a token";
    "node.discovery" "HYPERTY_NODE_DISCOVERY" Discovery(node.discovery) "what searches at the registry find of other users: everything, nothing, or what the rules in a file do not block";
    "node.backup" "HYPERTY_NODE_BACKUP" Flag(node.config.backup) "records of objects are kept for the devices of their users";

    "node.limits.sessions" "HYPERTY_NODE_LIMITS_SESSIONS" Count(node.config.limits.sessions) "sessions, live and graced";
    "node.limits.sessions_per_user" "HYPERTY_NODE_LIMITS_SESSIONS_PER_USER" Count(node.config.limits.sessions_per_user) "sessions of one user, where they need a token";
    "node.limits.connections" "HYPERTY_NODE_LIMITS_CONNECTIONS" Count(node.config.limits.links) "connections, with a session or without";
    "node.limits.unadmitted_connections" "HYPERTY_NODE_LIMITS_UNADMITTED_CONNECTIONS" Count(node.config.limits.unadmitted_links) "connections that have no session yet";
    "node.limits.connects_per_second" "HYPERTY_NODE_LIMITS_CONNECTS_PER_SECOND" Count(node.config.limits.attach.per_second) "connections of one network address in a second, callers on this machine apart";
    "node.limits.connects_at_once" "HYPERTY_NODE_LIMITS_CONNECTS_AT_ONCE" Count(node.config.limits.attach.burst) "connections of one network address at once";
    "node.limits.routes_per_session" "HYPERTY_NODE_LIMITS_ROUTES_PER_SESSION" Count(node.config.limits.routes_per_session) "addresses routed to one session, if its token says nothing else";
    "node.limits.registrations_per_runtime" "HYPERTY_NODE_LIMITS_REGISTRATIONS_PER_RUNTIME" Count(node.config.limits.registry.per_runtime) "registrations of one runtime";
    "node.limits.registrations" "HYPERTY_NODE_LIMITS_REGISTRATIONS" Count(node.config.limits.registry.total) "registrations of all";
    "node.limits.addresses_per_runtime" "HYPERTY_NODE_LIMITS_ADDRESSES_PER_RUNTIME" Count(node.config.limits.allocations.per_runtime) "addresses given to one runtime";
    "node.limits.addresses" "HYPERTY_NODE_LIMITS_ADDRESSES" Count(node.config.limits.allocations.total) "addresses given to all";
    "node.limits.message_bytes" "HYPERTY_NODE_LIMITS_MESSAGE_BYTES" Bytes(node.config.limits.message.bytes) "length of one message";
    "node.limits.message_depth" "HYPERTY_NODE_LIMITS_MESSAGE_DEPTH" Count(node.config.limits.message.depth) "nesting of one message";
    "node.limits.queue_messages" "HYPERTY_NODE_LIMITS_QUEUE_MESSAGES" Count(node.config.limits.queue.count) "messages that wait for one connection before updates collapse";
    "node.limits.queue_bytes" "HYPERTY_NODE_LIMITS_QUEUE_BYTES" Bytes(node.config.limits.queue.bytes) "bytes that wait for one connection before updates collapse";
    "node.limits.graced_messages" "HYPERTY_NODE_LIMITS_GRACED_MESSAGES" Count(node.config.limits.graced.count) "messages kept for a session that lost its connection";
    "node.limits.graced_bytes" "HYPERTY_NODE_LIMITS_GRACED_BYTES" Bytes(node.config.limits.graced.bytes) "bytes kept for a session that lost its connection";
    "node.limits.backup_records_per_user" "HYPERTY_NODE_LIMITS_BACKUP_RECORDS_PER_USER" Count(node.config.limits.backup.records_per_user) "records kept for the devices of one user";
    "node.limits.backup_bytes_per_user" "HYPERTY_NODE_LIMITS_BACKUP_BYTES_PER_USER" Bytes(node.config.limits.backup.bytes_per_user) "bytes of the records of one user";
    "node.limits.backup_record_bytes" "HYPERTY_NODE_LIMITS_BACKUP_RECORD_BYTES" Bytes(node.config.limits.backup.record_bytes) "length of one record";
    "node.limits.backup_records" "HYPERTY_NODE_LIMITS_BACKUP_RECORDS" Count(node.config.limits.backup.records) "records of all users";
    "node.limits.backup_upload_bytes" "HYPERTY_NODE_LIMITS_BACKUP_UPLOAD_BYTES" Bytes(node.config.limits.backup.upload_bytes) "bytes of records that are under way in parts";
    "node.limits.pending_answers" "HYPERTY_NODE_LIMITS_PENDING_ANSWERS" Count(node.config.limits.pending_answers) "answers that wait for the store; more are refused";

    "node.timers.grace" "HYPERTY_NODE_TIMERS_GRACE" Time(node.config.timers.grace) "how long the routes of a lost connection are kept";
    "node.timers.ping" "HYPERTY_NODE_TIMERS_PING" Time(node.config.timers.ping) "how often a connection is pinged";
    "node.timers.idle" "HYPERTY_NODE_TIMERS_IDLE" Time(node.config.timers.idle) "how long a connection may be silent, or take nothing";
    "node.timers.open" "HYPERTY_NODE_TIMERS_OPEN" Time(node.config.timers.open) "how long a connection may be without a session";
    "node.timers.drain" "HYPERTY_NODE_TIMERS_DRAIN" Time(node.config.timers.drain) "how long what is under way may take when the node is stopped, once for the store and once for the connections";

    "client.node" "HYPERTY_NODE" Text(client.node) "the message node to connect to";
    "client.domain" "HYPERTY_DOMAIN" MaybeText(client.domain) "the domain that it serves; that of the object, else `localhost`, if not set";
    "client.user" "HYPERTY_USER" MaybeText(client.user) "the user one acts for";
    "client.token" "HYPERTY_TOKEN_FILE" Path(client.token) "the file that holds the token, for a node that admits by token";
    "client.ca" "HYPERTY_CA" Path(client.ca) "the file of the authorities that are believed over wss, instead of those that the system knows";
    "client.policy" "HYPERTY_POLICY" Path(client.policy) "the file of rules that decide who may do what";
    "client.timeout" "HYPERTY_TIMEOUT" MaybeTime(client.timeout) "when to give up; never, if not set";
    "client.durability" "HYPERTY_DURABILITY" Durability(client.durability) "when a change of a stored object counts as kept";

    "session.queue_messages" "HYPERTY_SESSION_QUEUE_MESSAGES" Count(session.queue.count) "messages that wait for the connection before updates collapse";
    "session.queue_bytes" "HYPERTY_SESSION_QUEUE_BYTES" Bytes(session.queue.bytes) "bytes that wait for the connection before updates collapse";
    "session.frame_bytes" "HYPERTY_SESSION_FRAME_BYTES" Bytes(session.frames.bytes) "length of one message";
    "session.frame_depth" "HYPERTY_SESSION_FRAME_DEPTH" Count(session.frames.depth) "nesting of one message";
    "session.retry_first" "HYPERTY_SESSION_RETRY_FIRST" Time(session.retry.first) "longest wait before the second attempt to connect; it doubles from one to the next";
    "session.retry_max" "HYPERTY_SESSION_RETRY_MAX" Time(session.retry.max) "longest wait between two attempts";
    "session.connect_timeout" "HYPERTY_SESSION_CONNECT_TIMEOUT" Time(session.connect_timeout) "how long one attempt may take";
    "session.answer_timeout" "HYPERTY_SESSION_ANSWER_TIMEOUT" Time(session.answer_timeout) "how long the node may take to open a session";
    "session.close_timeout" "HYPERTY_SESSION_CLOSE_TIMEOUT" Time(session.close_timeout) "how long leaving may take";
    "session.ping" "HYPERTY_SESSION_PING" Time(session.ping) "silence after which the node is asked whether it is there";
}
