//! What fails, when it does, and the seams through which it is made to.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use hyperty_message_bus::{Direction, Interceptor, Verdict};
use hyperty_model::{Message, MessageType, StatusCode};
use hyperty_policy::{Decision, Policy, PolicyRequest};
use parking_lot::Mutex;

/// Who of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    /// Whoever made the request.
    Asker,
    /// Who is to answer it in the end.
    Other,
}

/// What the runtimes need of their domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Service {
    Allocation,
    Routes,
    Registry,
    Catalogue,
}

impl Service {
    fn address(self) -> &'static str {
        match self {
            Service::Allocation => "domain://msg-node.example.com/address-allocation",
            Service::Routes => "domain://msg-node.example.com/sm",
            Service::Registry => "domain://registry.example.com",
            Service::Catalogue => "domain://catalogue.example.com",
        }
    }
}

/// How a service fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    /// Requests are lost.
    Silent,
    /// Requests arrive and are carried out, the answers are lost.
    Unheard,
    /// Requests are refused with this code.
    Refuses(u16),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    Nothing,
    /// What is sent is lost, and nobody is told.
    Silent(Who),
    /// The connection ends, and there is no other.
    Cut(Who),
    NodeStops,
    DiskFreezes(Who),
    DiskFails(Who),
    Aborted(Who),
    /// The application drops the question.
    QuestionDropped,
    /// It keeps the question and never decides.
    QuestionKept,
    /// For both sides.
    Service(Service, How),
    PolicyHangs(Who),
    PolicyPanics(Who),
    /// The task that waits is ended: nobody hears of an answer, and nothing else minds.
    Cancelled,
}

impl Failure {
    /// Whether all of a side fails, or its application, and the moment matters most.
    pub(crate) fn is_of_a_side(self) -> bool {
        OF_ALL_MOMENTS.contains(&self)
    }
}

/// Those that meet every request at every moment.
const OF_ALL_MOMENTS: [Failure; 14] = [
    Failure::Nothing,
    Failure::Silent(Who::Asker),
    Failure::Silent(Who::Other),
    Failure::Cut(Who::Asker),
    Failure::Cut(Who::Other),
    Failure::NodeStops,
    Failure::DiskFreezes(Who::Asker),
    Failure::DiskFreezes(Who::Other),
    Failure::DiskFails(Who::Asker),
    Failure::DiskFails(Who::Other),
    Failure::Aborted(Who::Asker),
    Failure::Aborted(Who::Other),
    Failure::QuestionDropped,
    Failure::QuestionKept,
];

/// Those whose moment matters less: a service or a policy that was asked answers at once.
const OF_SOME_MOMENTS: [Failure; 5] = [
    Failure::PolicyHangs(Who::Asker),
    Failure::PolicyHangs(Who::Other),
    Failure::PolicyPanics(Who::Asker),
    Failure::PolicyPanics(Who::Other),
    Failure::Cancelled,
];

/// Everything that fails, with the moments at which it does.
pub(crate) fn failures() -> Vec<(Failure, &'static [Moment])> {
    let services = [Service::Allocation, Service::Routes, Service::Registry, Service::Catalogue];
    let hows = [How::Silent, How::Unheard, How::Refuses(404), How::Refuses(500)];
    let of_services = services.into_iter().flat_map(|service| hows.map(|how| Failure::Service(service, how)));
    let some = OF_SOME_MOMENTS.into_iter().chain(of_services).map(|failure| (failure, &SOME_MOMENTS[..]));
    OF_ALL_MOMENTS.into_iter().map(|failure| (failure, &MOMENTS[..])).chain(some).collect()
}

/// When it fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// Before the request is made.
    Before,
    /// Once the tasks had so many turns since.
    Turns(u32),
    /// So many milliseconds later: disks are slow, connections are not.
    Millis(u64),
}

const MOMENTS: [Moment; 8] = [
    Moment::Before,
    Moment::Turns(1),
    Moment::Turns(4),
    Moment::Turns(8),
    Moment::Turns(16),
    Moment::Millis(1),
    Moment::Millis(3),
    Moment::Millis(5),
];

const SOME_MOMENTS: [Moment; 3] = [Moment::Before, Moment::Turns(4), Moment::Millis(1)];

/// The services of the domain as one runtime sees them, and its policy: both fail as they are told.
#[derive(Clone, Default)]
pub(crate) struct Seams {
    service: Arc<Mutex<Option<(Service, How)>>>,
    policy: Arc<Mutex<Option<Failure>>>,
}

impl Seams {
    /// Lets this fail from now on, as far as it is here.
    pub(crate) fn fail(&self, failure: Failure) {
        match failure {
            Failure::Service(service, how) => *self.service.lock() = Some((service, how)),
            Failure::PolicyHangs(_) | Failure::PolicyPanics(_) => *self.policy.lock() = Some(failure),
            _ => {}
        }
    }

    /// All is well again.
    pub(crate) fn mend(&self) {
        *self.service.lock() = None;
        *self.policy.lock() = None;
    }
}

impl Interceptor for Seams {
    fn inspect(&self, message: Message, direction: Direction) -> Verdict {
        let Some((service, how)) = *self.service.lock() else { return Verdict::Pass(message) };
        let is_answer = message.kind() == MessageType::Response;
        let is_of = |url: &hyperty_model::Url| url.as_str() == service.address();
        match how {
            How::Silent if !is_answer && direction == Direction::Outgoing && is_of(message.to()) => {
                Verdict::Drop
            }
            How::Unheard if is_answer && direction == Direction::Incoming && is_of(message.from()) => {
                Verdict::Drop
            }
            How::Refuses(code) if !is_answer && direction == Direction::Outgoing && is_of(message.to()) => {
                Verdict::Reject(StatusCode(code), "as the test wants".to_owned())
            }
            _ => Verdict::Pass(message),
        }
    }
}

impl Policy for Seams {
    fn decide<'a>(&'a self, _: &'a PolicyRequest) -> BoxFuture<'a, Decision> {
        let failure = *self.policy.lock();
        Box::pin(async move {
            match failure {
                Some(Failure::PolicyHangs(_)) => std::future::pending().await,
                Some(Failure::PolicyPanics(_)) => panic!("the policy fails, as the test wants"),
                _ => Decision::NotApplicable,
            }
        })
    }
}
