//! Times and limits of a Sync Manager.

use std::time::Duration;

/// Times and limits; the defaults are those of the protocol (section 0.2).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SyncManagerConfig {
    /// How long the Reporter's side may take to answer a subscription or read (M9).
    pub peer_timeout: Duration,
    /// How long the Reporter's application may take to decide (M9).
    pub decision_timeout: Duration,
    /// How long the policy may take to decide; then it has denied. Together with the application's time to decide, which
    /// is 6 s in the Syncher, within `decision_timeout` (M9).
    pub policy_timeout: Duration,
    /// How long a repair read may take before it is tried again (T_SESS, M9).
    pub repair_timeout: Duration,
    /// The first pause between two tries of a repair; doubled up to [`SyncManagerConfig::retry_max`].
    pub retry_min: Duration,
    /// The longest pause between two tries of a repair.
    pub retry_max: Duration,
    /// How long out-of-order updates wait for the missing one before a repair (T_GAP).
    pub gap_wait: Duration,
    /// How long a deletion waits for acknowledgements (T_DELACK).
    pub delete_wait: Duration,
    /// How long an unanswered child operation waits before it is sent again (T_CHILD).
    pub child_wait: Duration,
    /// When the first position beat follows the last change of a burst; doubled up to `beat_max` (10.2).
    pub beat_min: Duration,
    /// The longest time between two position beats of an observed object.
    pub beat_max: Duration,
    /// How long nothing may be heard of an observed object before the Reporter's side is asked: longer than two
    /// beats, so that one may be late and one be lost.
    pub silence: Duration,
    /// How long an offer of an object stands (T_OFFER); the Reporter may ask for less.
    pub offer_wait: Duration,
    /// How long a Reporter may be stopped while its object is given away (T_FREEZE).
    pub freeze_wait: Duration,
    /// How long the former Reporter waits to hear that the new one acts, once the object is given.
    pub confirm_wait: Duration,
    /// How long a message node or registry may refuse to host an object that was given here before it goes back: the
    /// giving side tells them whose it is, and may be slow.
    pub host_wait: Duration,
    /// How long it is remembered that an object was given away, after the new owner has said that it acts.
    pub gift_age: Duration,
    /// Objects that are remembered as given away. For one more, the acknowledged one that was given first is forgotten;
    /// without one nothing more is given (412). A runtime that retires has thousands, one after the other.
    pub gifts_max: usize,
    /// Bytes of all objects that are remembered as given away, whether in memory or in the store; the same happens beyond
    /// it. Four of the largest.
    pub gift_bytes_max: usize,
    /// How fast different answers to reads of one object are made, in bytes per second (M7). Answers of the same state
    /// are shared and not held up; an object that changes faster than its observers can be given whole states serves
    /// them in turns. A megabyte is made every 16 ms by default, which leaves most of a core to everything else.
    pub answer_bytes_per_second: u64,
    /// Largest data, in bytes of canonical JSON, whose digest beats carry; 0 for none (10.2). A digest of that much
    /// takes about a millisecond, once for each position that is announced.
    pub digest_bytes_max: usize,
    /// Longest message that connections take, in bytes. Answers of more than half of it go in parts (10.5), and larger
    /// changes are announced instead of sent: whoever observes fetches them.
    pub message_bytes_max: usize,
    /// Most bytes of an answer in parts, and so of an object that is observed from elsewhere.
    pub whole_bytes_max: usize,
    /// Most bytes of large answers that are kept while others fetch them; those who read the same share it. More
    /// readers are asked to come again.
    pub offered_bytes_max: usize,
    /// How long a large answer is kept after a part of it was fetched: longer than all tries of a part, and than a
    /// reader's other large answers take before it.
    pub transfer_kept: Duration,
    /// Large answers taken in at a time, each of [`SyncManagerConfig::whole_bytes_max`] at most; others wait.
    pub reassemblies_max: usize,
    /// Parts of large answers under way to this runtime, all answers together: at 200 kB they are less than half of
    /// what may wait for a connection, and none of what else it is used for waits behind more.
    pub parts_in_flight: usize,
    /// The pause between parts that are pushed to readers that fetch none (5.5.2).
    pub part_pause: Duration,
    /// Requests that wait for their procedure to start. More than that are answered 500 at once: a sender that
    /// runs this far ahead of the answers is better told so than buffered.
    pub inbox_max: usize,
    /// Procedures of requests that run at one time; each may wait for a peer, so this is what bounds their memory. What
    /// follows up by itself, a repair or a registration say, is not among them: of each kind an object has one.
    pub procedures_max: usize,
    /// Observers of one object. Each costs a table entry and its routes.
    pub observers_max: usize,
    /// Observers of one object that are away: their session ended, and they may come back (M13). One more, and the one
    /// that is away longest is dropped. As many as may have been there at the largest node's end.
    pub away_max: usize,
    /// How long an observer may be away before it is dropped; one that comes later subscribes anew. Counted from the
    /// end of its session, or from the start of this runtime if that was later.
    pub away_age: Duration,
    /// How long the Reporter's side is told that an observer here has left, if it does not confirm that (5.6). As long as an
    /// observer may be away: by then it is dropped there anyway.
    pub leave_age: Duration,
    /// Observers here that have left without the Reporter's side confirming it, all objects together; one more, and the
    /// one that left first is forgotten. Each that was stored is a row in the store.
    pub leaves_max: usize,
    /// The longest pause between two tries to tell the Reporter's side that observers have left.
    pub leave_retry_max: Duration,
    /// Hyperties that the Reporter removed from the observers of one object and that are remembered, so that no rule
    /// lets them in again (5.7). One more, and the one that was removed first is a stranger like any other. Each is a
    /// row in the store.
    pub removed_max: usize,
    /// Largest `execute`, in bytes of its method and parameters as JSON, and largest value that answers it. An action is
    /// a request for something to be done; what is large belongs into the object.
    pub action_bytes_max: usize,
    /// Actions of one observer that are not answered yet. More than a person or a small program has under way; a
    /// program that wants more waits for answers.
    pub actions_per_observer_max: usize,
    /// Actions on one object that are not answered yet, of all observers together: what its application has before it.
    pub actions_max: usize,
    /// How long an action may take in all, however often the application says that it is under way.
    pub action_timeout: Duration,
    /// How long an invitation is kept that did not arrive, or was not answered, unless it says itself when it ends.
    pub invitation_age: Duration,
    /// Grants of one object, from its creation and by invitation. Each is a row of its record.
    pub grants_max: usize,
    /// Invitations to one object that are not answered. Each is sent again every minute as long as it does not arrive.
    pub invitations_max: usize,
    /// Live children of one object, all names together: they travel in every snapshot.
    pub children_max: usize,
    /// Child operations of this runtime that wait for the Reporter's side, for each object.
    pub pending_children_max: usize,
    /// Whether stored objects and observations are backed up that say nothing of it, where the runtime has a backup.
    pub backup_by_default: bool,
    /// The shortest time between two saves of one object: what a lost device loses, and what a busy object costs.
    pub backup_interval: Duration,
    /// How fast one object is saved, in bytes per second: a large one is saved whole each time.
    pub backup_bytes_per_second: u64,
    /// Records that are saved at one time, of all objects.
    pub backups_in_flight: usize,
    /// The longest time until a record is offered again that the backup has refused: it may have room by then.
    pub backup_refused_pause: Duration,
}

impl Default for SyncManagerConfig {
    fn default() -> SyncManagerConfig {
        SyncManagerConfig {
            peer_timeout: Duration::from_secs(12),
            decision_timeout: Duration::from_secs(9),
            policy_timeout: Duration::from_secs(3),
            repair_timeout: Duration::from_secs(3),
            retry_min: Duration::from_millis(200),
            retry_max: Duration::from_secs(30),
            gap_wait: Duration::from_millis(500),
            delete_wait: Duration::from_secs(5),
            child_wait: Duration::from_secs(3),
            beat_min: Duration::from_secs(1),
            beat_max: Duration::from_secs(60),
            silence: Duration::from_secs(150),
            offer_wait: Duration::from_secs(60),
            freeze_wait: Duration::from_secs(5),
            confirm_wait: Duration::from_secs(15),
            host_wait: Duration::from_secs(10),
            gift_age: Duration::from_secs(24 * 3600),
            gifts_max: 1_024,
            gift_bytes_max: 64 << 20,
            answer_bytes_per_second: 64 << 20,
            digest_bytes_max: hyperty_model::digest::DIGEST_BYTES_MAX,
            message_bytes_max: hyperty_model::message::MESSAGE_BYTES_MAX,
            whole_bytes_max: hyperty_model::parts::WHOLE_BYTES_MAX,
            offered_bytes_max: 64 << 20,
            transfer_kept: Duration::from_secs(60),
            reassemblies_max: 4,
            parts_in_flight: 8,
            part_pause: Duration::from_millis(50),
            inbox_max: 65_536,
            procedures_max: 4_096,
            observers_max: 100_000,
            away_max: 10_000,
            away_age: Duration::from_secs(30 * 24 * 3600),
            leave_age: Duration::from_secs(30 * 24 * 3600),
            leaves_max: 10_000,
            leave_retry_max: Duration::from_secs(60),
            removed_max: 10_000,
            action_bytes_max: 64 << 10,
            actions_per_observer_max: 16,
            actions_max: 1_024,
            action_timeout: Duration::from_secs(600),
            invitation_age: Duration::from_secs(7 * 24 * 3600),
            grants_max: 10_000,
            invitations_max: 1_000,
            children_max: 100_000,
            pending_children_max: 4_096,
            backup_by_default: false,
            backup_interval: Duration::from_secs(1),
            backup_bytes_per_second: 1 << 20,
            backups_in_flight: 4,
            backup_refused_pause: Duration::from_secs(600),
        }
    }
}
