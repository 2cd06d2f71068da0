//! Where a case plays: the runtime under test behind its boundary, seats on its bus, and a domain around it.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use hyperty_protostub::{Connector, Incoming, Outgoing};
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::boundary::{Boundary, Interceptor, Place, Way};
use super::domain::Domain;
use super::held::Held;
use super::line::{INBOX_MAX, Line, code, expect_code};
use super::monitors;
use super::under_test::{Ending, MakeRuntime, RuntimeUnderTest, Start, TakeFrame};
use super::way::through;
use crate::protocol::{Capabilities, Capability, Stage, Stop, UnderTest, Verdict};

/// Frames under way on the connection of the runtime under test.
pub(super) const UNDER_WAY_MAX: usize = 16_384;

/// Longest anything that is asked of a Sync Manager may take (T_RESP), with some slack.
pub const RESPONSE_TIME: Duration = Duration::from_secs(16);

/// The schema of the objects in all cases: children `notes`, which observers may write, and `news`, which they may
/// not; `topic` is a text, and anything else may be in them.
pub fn schema_document() -> Value {
    json!({
        "title": "ConformanceBoard",
        "type": "object",
        "properties": {
            "scheme": {"constant": "comm"},
            "children": {"constant": ["notes", "news"]},
            "topic": {"type": "string"}
        },
        "News": {
            "stereotype": "children",
            "properties": {"listener": {"constant": "news"}, "observerPermissions": {"constant": "read"}}
        }
    })
}

/// Makes the interceptor of a run, if it has one; a new one for each case.
pub type MakeInterceptor = Box<dyn Fn() -> Box<dyn Interceptor> + Send + Sync>;

/// The domain that the runtime under test is put into.
pub enum Around {
    /// One that the suite plays, of this name.
    Scripted(String),
    /// That of a real message node.
    Node {
        /// Its domain.
        domain: String,
        /// The way to it.
        connector: Arc<dyn Connector>,
        /// What sessions there are opened with, if it admits by token.
        tokens: Option<GiveToken>,
    },
}

/// Gives what sessions of a user are opened with; nothing if that cannot be had.
pub type GiveToken = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// A kind of runtime, put to the test in some surroundings.
pub struct Subject {
    /// Makes the runtimes.
    pub maker: Box<dyn MakeRuntime>,
    /// Where they live.
    pub around: Around,
    /// What changes the messages that cross their boundary.
    pub interceptor: Option<MakeInterceptor>,
    /// What they declare.
    pub capabilities: Capabilities,
}

impl Subject {
    /// Runtimes that can do all that a runtime can, in a domain that the suite plays.
    pub fn scripted(maker: impl MakeRuntime + 'static) -> Subject {
        let around = Around::Scripted("example.com".to_owned());
        let capabilities = all_of_a_runtime(&maker);
        Subject { maker: Box::new(maker), around, interceptor: None, capabilities }
    }

    /// The same at a real node, of this domain.
    pub fn at_node(
        maker: impl MakeRuntime + 'static,
        domain: &str,
        connector: Arc<dyn Connector>,
    ) -> Subject {
        let mut capabilities = all_of_a_runtime(&maker);
        capabilities.remove(&Capability::Scripted);
        let around = Around::Node { domain: domain.to_owned(), connector, tokens: None };
        Subject { maker: Box::new(maker), around, interceptor: None, capabilities }
    }

    /// The same at a node that admits by token: each session is opened with what `tokens` gives for its user, that of
    /// the runtime under test included.
    #[must_use]
    pub fn admitted_by(mut self, tokens: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Subject {
        if let Around::Node { tokens: given, .. } = &mut self.around {
            *given = Some(Arc::new(tokens));
        }
        self
    }

    /// The same with every message at the boundary shown to an interceptor.
    #[must_use]
    pub fn intercepted(self, make: impl Fn() -> Box<dyn Interceptor> + Send + Sync + 'static) -> Subject {
        Subject { interceptor: Some(Box::new(make)), ..self }
    }
}

fn all_of_a_runtime(maker: &impl MakeRuntime) -> Capabilities {
    use Capability as C;
    let users = maker.vouches().then_some(C::Users);
    let all =
        [C::Restart, C::Crash, C::Store, C::Children, C::Since, C::Parts, C::Beats, C::Digest, C::Scripted];
    let subscriptions = maker.listens().then_some(C::Subscriptions);
    all.into_iter().chain(users).chain(subscriptions).collect()
}

impl UnderTest for Subject {
    fn capabilities(&self) -> Capabilities {
        self.capabilities.clone()
    }
}

/// One case's own world.
pub struct Scene {
    /// What the runner gave the case.
    pub stage: Stage<Subject>,
    /// The skin of the runtime.
    pub boundary: Boundary,
    /// The URL of the runtime.
    pub url: String,
    /// The domain of everything in it.
    pub home: String,
    /// The URL of the schema of objects.
    pub schema: String,
    runtime: Box<dyn RuntimeUnderTest>,
    connector: Arc<dyn Connector>,
    pub(super) scripted: Option<Domain>,
    tokens: Option<GiveToken>,
    connected: watch::Sender<bool>,
    ids: Arc<AtomicU64>,
    /// Where in the boundary's trace the present run of the runtime began.
    pub(super) born: usize,
}

impl Scene {
    /// Starts a runtime in its surroundings, and makes the schema known there.
    ///
    /// # Errors
    /// When it cannot be started.
    pub async fn set(stage: Stage<Subject>) -> Verdict<Scene> {
        let subject = Arc::clone(&stage.subject);
        let (home, scripted, connector, tokens) = match &subject.around {
            Around::Scripted(home) => {
                let domain = Domain::new(home, &format!("hyperty-runtime://{home}/{}", stage.nonce));
                (home.clone(), Some(domain.clone()), domain.connector(), None)
            }
            Around::Node { domain, connector, tokens } => {
                (domain.clone(), None, Arc::clone(connector), tokens.clone())
            }
        };
        let boundary = Boundary::new(subject.interceptor.as_ref().map(|make| make()));
        let connected = watch::Sender::new(true);
        let start = Start {
            runtime: format!("hyperty-runtime://{home}/{}", stage.nonce),
            domain: home.clone(),
            node: Arc::new(through(&boundary, &connector, &connected)),
            token: tokens.as_ref().and_then(|tokens| tokens(&user_of(&home, &stage.nonce, "owner"))),
            seed: stage.seed,
        };
        let url = start.runtime.clone();
        let runtime = subject.maker.start(start).await.map_err(Stop::Broken)?;
        let schema = format!("hyperty-catalogue://catalogue.{home}/.well-known/dataschema/ConformanceBoard");
        let first_id = 1 + (stage.seed & 0xffff) * 1_000;
        let scene = Scene {
            stage,
            boundary,
            url,
            home,
            schema,
            runtime,
            connector,
            scripted,
            tokens,
            connected,
            ids: Arc::new(AtomicU64::new(first_id)),
            born: 0,
        };
        scene.publish_schema().await?;
        Ok(scene)
    }

    async fn publish_schema(&self) -> Verdict {
        let mut warden = self.peer("warden").await?;
        let catalogue = format!("domain://catalogue.{}", self.home);
        let body = json!({"resource": self.schema, "value": schema_document()});
        let from = warden.url.clone();
        let began = Instant::now();
        let answer = warden.request("create", &from, &catalogue, body).await?;
        self.stage.pace.measured(began.elapsed());
        expect_code("M22", &answer, &[200], "making the schema known")
    }

    /// The Sync Manager of the runtime under test.
    pub fn sm(&self) -> String {
        format!("{}/sm", self.url)
    }

    /// Where a hyperty of it asks for routes outside of data objects.
    pub fn subscriptions(&self) -> String {
        format!("{}/subscriptions", self.url)
    }

    /// The routing service of its node.
    pub fn mn(&self) -> String {
        format!("domain://msg-node.{}/sm", self.home)
    }

    /// The registry of its domain.
    pub fn reg(&self) -> String {
        format!("domain://registry.{}", self.home)
    }

    /// The URL of a hyperty of this case.
    pub fn hyperty(&self, name: &str) -> String {
        format!("hyperty://{}/{}-{name}", self.home, self.stage.nonce)
    }

    /// The user of a hyperty of this case.
    pub fn identity(&self, name: &str) -> Value {
        json!({"userProfile": {"userURL": self.user(name)}})
    }

    /// The domain, where the suite plays it.
    ///
    /// # Panics
    /// When the domain is a real one: the case has to need [`Capability::Scripted`].
    pub fn domain(&self) -> &Domain {
        self.scripted.as_ref().expect("a case that needs a scripted domain says so")
    }

    fn tools(&self) -> (crate::protocol::Trace, crate::protocol::Patience, Arc<AtomicU64>) {
        (self.stage.trace.clone(), self.stage.waits(), Arc::clone(&self.ids))
    }

    /// A seat on the bus of the runtime for a hyperty that the suite plays.
    ///
    /// # Errors
    /// When there is none.
    pub fn seat(&self, name: &str) -> Verdict<Line> {
        let url = self.hyperty(name);
        let place = Place::Bus(url.clone());
        let (boundary, at) = (self.boundary.clone(), place.clone());
        let receive: TakeFrame = Box::new(move |frame| boundary.cross(at.clone(), Way::Out, frame));
        let (to_case, inbox) = mpsc::channel(INBOX_MAX);
        // A case that does not read loses the newest, and notices by what it then misses.
        self.boundary.connect(place.clone(), Way::Out, move |frame| drop(to_case.try_send(frame)));
        let post = self.runtime.attach(&url, receive).map_err(Stop::Broken)?;
        self.boundary.connect(place.clone(), Way::In, post);
        let boundary = self.boundary.clone();
        let send = move |frame: Bytes| boundary.cross(place.clone(), Way::In, frame);
        Ok(Line::new(name, url, Box::new(send), inbox, self.tools()))
    }

    /// The same for a hyperty of a user.
    ///
    /// # Errors
    /// When there is none, or the runtime cannot be told: the case has to need [`Capability::Users`].
    pub fn seat_of(&self, name: &str, user: &str) -> Verdict<Line> {
        self.runtime.vouch(&self.hyperty(name), &self.user(user)).map_err(Stop::Broken)?;
        self.seat(name)
    }

    /// Has the runtime know of which user a hyperty is, if it can be told; whether it can.
    ///
    /// # Errors
    /// When it can, and fails.
    pub fn vouch(&self, name: &str, user: &str) -> Verdict<bool> {
        let can = self.stage.subject.capabilities.contains(&Capability::Users);
        if can {
            self.runtime.vouch(&self.hyperty(name), &self.user(user)).map_err(Stop::Broken)?;
        }
        Ok(can)
    }

    /// The URL of a user of this case.
    pub fn user(&self, name: &str) -> String {
        user_of(&self.home, &self.stage.nonce, name)
    }

    /// Gives up the seat of a hyperty.
    pub fn leave(&self, line: Line) {
        self.boundary.disconnect(&Place::Bus(line.url.clone()));
        drop(line);
    }

    /// A runtime elsewhere that the suite plays, with a session at the node.
    ///
    /// # Errors
    /// When the session is refused.
    pub async fn peer(&self, name: &str) -> Verdict<Line> {
        let url = format!("hyperty-runtime://{}/{}-{name}", self.home, self.stage.nonce);
        let connection = self.connector.connect().await.map_err(|error| Stop::Broken(error.to_string()))?;
        let (to_node, mut from_case) = mpsc::channel::<Bytes>(UNDER_WAY_MAX);
        let (to_case, inbox) = mpsc::channel(INBOX_MAX);
        let (mut outgoing, mut incoming) = (connection.outgoing, connection.incoming);
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    biased;
                    frame = from_case.recv() => {
                        let Some(frame) = frame else { break };
                        if outgoing.send(Outgoing::Frame(frame)).await.is_err() { break }
                    }
                    frame = incoming.next() => match frame {
                        Some(Ok(Incoming::Frame(frame))) => drop(to_case.try_send(frame)),
                        Some(Ok(Incoming::Alive)) => {}
                        Some(Err(_)) | None => break,
                    }
                }
            }
        });
        let send = move |frame: Bytes| drop(to_node.try_send(frame));
        let mut line = Line::new(name, url.clone(), Box::new(send), inbox, self.tools());
        let token = self.tokens.as_ref().and_then(|tokens| tokens(&self.user(name)));
        let body = token.map_or_else(|| json!({}), |token| json!({"accessToken": token}));
        let began = Instant::now();
        let answer = line.request("open", &url, "mn:/session", body).await?;
        self.stage.pace.measured(began.elapsed());
        if code(&answer) != 200 {
            return Err(Stop::Broken(format!("the session of {name} was refused: {answer}")));
        }
        Ok(line)
    }

    /// What the runtime holds at its node, of addresses that begin so: as the domain knows it where the suite plays
    /// that, else as the node's answers tell.
    pub fn held(&self, prefix: &str) -> Held {
        match &self.scripted {
            Some(domain) => domain.held(prefix),
            None => Held::granted(&self.boundary.trace(), prefix),
        }
    }

    /// Stops the runtime and starts it again over what it had stored. All seats are gone.
    ///
    /// # Errors
    /// When it does not start again.
    pub async fn restart(&mut self, ending: Ending) -> Verdict {
        self.stage.trace.note(format_args!("the runtime ends ({ending:?}) and starts again"));
        let mark = self.boundary.mark();
        self.runtime.restart(ending).await.map_err(Stop::Broken)?;
        self.born = self.boundary.mark();
        if self.is_at_a_node() {
            self.attached_since(mark).await;
        }
        Ok(())
    }

    /// Cuts the connection of the runtime under test; what is under way is lost.
    pub fn cut(&self) {
        self.stage.trace.note("the connection of the runtime is cut");
        self.connected.send_replace(false);
    }

    /// Lets the runtime connect again.
    pub fn heal(&self) {
        self.stage.trace.note("the runtime can connect again");
        self.connected.send_replace(true);
    }

    /// Ends the case: what must never happen in any case is looked for in all that crossed the boundary.
    ///
    /// # Errors
    /// What the case ended with.
    pub async fn finish(self, verdict: Verdict) -> Verdict {
        if verdict.is_ok() && self.stage.patience.longest_wait >= RESPONSE_TIME {
            tokio::time::sleep(RESPONSE_TIME).await;
            monitors::unanswered(&self)?;
        }
        monitors::always(&self)?;
        verdict
    }
}

fn user_of(home: &str, nonce: &str, name: &str) -> String {
    format!("user://{home}/{nonce}-{name}")
}
