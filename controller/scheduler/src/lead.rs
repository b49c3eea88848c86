//! Leading: the service's state machine between its znodes and the master.

use std::future::pending;
use std::net::Ipv4Addr;
use std::time::{Duration, SystemTime};

use election::{Detector, Leadership, RegistryError, Standing};
use frameworks::{Input, Output, Service, ServiceSpec};
use mesos::v1::framework_info::Capability;
use mesos::v1::framework_info::capability::Type as CapabilityType;
use mesos::v1::{FrameworkInfo, MasterInfo};
use tokio::sync::watch;
use tokio::time::{Instant as Clock, sleep_until};
use types::Instant;

use crate::link::{Link, Said};
use crate::run::{FrameworkRun, LONGEST_TEARDOWN, Status, Stop};
use crate::znodes::{Info, Znodes};
use crate::{LinkError, StopError, calls};

/// How leading ended.
pub(crate) enum End {
    /// Another leads now, or the ensemble refused a write: what is in memory may be stale.
    Deposed,
    /// By request; tasks go on.
    Left,
    /// By request, with all tasks.
    TornDown(Result<(), StopError>),
}

/// What ended a connection to a master.
enum Broken {
    Link(LinkError),
    End(End),
}

pub(crate) struct Lead<'a> {
    run: &'a FrameworkRun,
    told: &'a watch::Sender<Status>,
    specs: watch::Receiver<ServiceSpec>,
    stop: watch::Receiver<Stop>,
    standing: watch::Receiver<Standing>,
    /// Watches as long as it lives.
    _detector: Detector,
    masters: watch::Receiver<Option<MasterInfo>>,
    znodes: Znodes,
    info: Info,
    service: Service,
    began: Clock,
    wake: Option<Clock>,
    /// When a teardown is given up.
    deadline: Option<Clock>,
}

/// What happened beside the master's events.
enum News {
    Spec,
    Stop,
    Deposed,
    Master,
    Time,
    Deadline,
}

impl<'a> Lead<'a> {
    pub(crate) fn new(
        run: &'a FrameworkRun,
        leadership: Leadership,
        told: &'a watch::Sender<Status>,
        mut specs: watch::Receiver<ServiceSpec>,
        stop: watch::Receiver<Stop>,
        standing: watch::Receiver<Standing>,
    ) -> Self {
        let detector = Detector::start(run.master.clone());
        let spec = specs.borrow_and_update().clone();
        Self {
            run,
            told,
            specs,
            stop,
            standing,
            masters: detector.leader(),
            _detector: detector,
            znodes: Znodes::new(leadership, &run.namespace, &run.name),
            info: Info::default(),
            service: Service::new(spec, Vec::new(), first_run()),
            began: Clock::now(),
            wake: None,
            deadline: None,
        }
    }

    /// Leads until it is deposed or stopped.
    pub(crate) async fn run(mut self) -> End {
        match self.lead().await {
            Ok(never) => match never {},
            Err(end) => end,
        }
    }

    async fn lead(&mut self) -> Result<std::convert::Infallible, End> {
        let (info, records) = self.znodes.load().await.map_err(|why| self.deposed(&why))?;
        let spec = self.specs.borrow_and_update().clone();
        self.service = Service::new(spec, records, first_run());
        self.tell(|status| {
            status.leading = true;
            status.framework_id.clone_from(&info.framework_id);
            status.error = None;
        });
        self.info = info;
        self.step(Input::Tick, &mut None).await?;
        if *self.stop.borrow_and_update() != Stop::No {
            self.on_stop(&mut None).await?;
        }
        let mut pause = FIRST_PAUSE;
        loop {
            let master = self.masters.borrow_and_update().as_ref().map(authority);
            let Some(master) = master else {
                self.tell(|status| status.error = Some(String::from("no master leads")));
                self.wait(None).await?;
                continue;
            };
            let broken = match self.session(master, &mut pause).await {
                Broken::End(end) => return Err(end),
                Broken::Link(why) => why,
            };
            tracing::info!(framework = self.run.name, %broken, "not subscribed");
            self.tell(|status| {
                status.master = None;
                status.error = Some(broken.to_string());
            });
            self.step(Input::Disconnected, &mut None).await?;
            self.wait(Some(Clock::now() + pause)).await?;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Deals with everything but a master, until `until` or until another master leads.
    async fn wait(&mut self, until: Option<Clock>) -> Result<(), End> {
        loop {
            let news = tokio::select! {
                news = self.news() => news,
                () = at(until) => return Ok(()),
            };
            if self.on_news(news, &mut None).await? {
                return Ok(());
            }
        }
    }

    async fn session(&mut self, master: String, pause: &mut Duration) -> Broken {
        let connecting = Link::open(master, calls::subscribe(self.framework_info()));
        tokio::pin!(connecting);
        let opened = loop {
            tokio::select! {
                opened = &mut connecting => break opened,
                news = self.news() => match self.on_news(news, &mut None).await {
                    Ok(_) => {}
                    Err(end) => return Broken::End(end),
                }
            }
        };
        let mut link = match opened {
            Ok(link) => Some(link),
            Err(why) => return Broken::Link(why),
        };
        loop {
            let Some(open) = &mut link else {
                let master = String::from("(before)");
                return Broken::Link(LinkError::Lost { master, why: "a call failed" });
            };
            let handled = tokio::select! {
                said = open.next() => match said {
                    Ok(said) => {
                        if matches!(said, Said::Subscribed(_)) {
                            *pause = FIRST_PAUSE;
                        }
                        self.on_said(said, &mut link).await
                    }
                    Err(why) => Err(Broken::Link(why)),
                },
                news = self.news() => match self.on_news(news, &mut link).await {
                    Ok(true) => {
                        let master = self.told.borrow().master.clone().unwrap_or_default();
                        let why = "another master leads";
                        Err(Broken::Link(LinkError::Lost { master, why }))
                    }
                    Ok(false) => Ok(()),
                    Err(end) => Err(Broken::End(end)),
                }
            };
            if let Err(broken) = handled {
                return broken;
            }
        }
    }

    async fn on_said(&mut self, said: Said, link: &mut Option<Link>) -> Result<(), Broken> {
        let input = match said {
            Said::Heartbeat => return Ok(()),
            Said::Subscribed(id) => {
                if self.info.framework_id.as_ref() != Some(&id) {
                    self.info.framework_id = Some(id.clone());
                    let stored = self.znodes.set_info(&self.info).await;
                    stored.map_err(|why| Broken::End(self.deposed(&why)))?;
                }
                let master = link.as_ref().map(|link| link.master().to_owned());
                self.tell(|status| {
                    status.framework_id = Some(id);
                    status.master = master;
                    status.error = None;
                });
                Input::Subscribed
            }
            Said::Offers(offers) => {
                let mut usable = Vec::with_capacity(offers.len());
                let mut useless = Vec::new();
                for offer in offers {
                    let id = offer.id.value.clone();
                    match crate::events::offer(offer, &self.run.role) {
                        Some(offer) => usable.push(offer),
                        None => useless.push(id),
                    }
                }
                if let (Some(link), false) = (&mut *link, useless.is_empty()) {
                    let call = calls::decline(&useless, USELESS);
                    link.call(call, "DECLINE").await.map_err(Broken::Link)?;
                }
                Input::Offers(usable)
            }
            Said::Update(status) => Input::Update(crate::events::update(*status)),
            Said::Error(message) => {
                if message.contains("has been removed") {
                    self.begin_anew().await.map_err(Broken::End)?;
                }
                let master = link.as_ref().map(|link| link.master().to_owned()).unwrap_or_default();
                return Err(Broken::Link(LinkError::Ended { master, message }));
            }
        };
        self.step(input, link).await.map_err(Broken::End)
    }

    /// The master has given this framework up, and its tasks with it: the next subscription is a new
    /// framework's.
    async fn begin_anew(&mut self) -> Result<(), End> {
        let cleared = self.znodes.clear().await;
        cleared.map_err(|why| self.deposed(&why))?;
        self.info = Info::default();
        self.tell(|status| status.framework_id = None);
        let spec = self.specs.borrow().clone();
        self.service = Service::new(spec, Vec::new(), first_run());
        Ok(())
    }

    /// Takes an input and carries out what follows. A call that fails closes the link; what must be
    /// stored is stored all the same.
    async fn step(&mut self, input: Input, link: &mut Option<Link>) -> Result<(), End> {
        let outputs = self.service.step(self.now(), input);
        self.wake = None;
        for output in outputs {
            let (call, name) = match output {
                Output::Store(record) => {
                    let stored = self.znodes.store(&record).await;
                    stored.map_err(|why| self.deposed(&why))?;
                    continue;
                }
                Output::Forget(task) => {
                    let forgotten = self.znodes.forget(&task).await;
                    forgotten.map_err(|why| self.deposed(&why))?;
                    continue;
                }
                Output::Status(service) => {
                    self.tell(|status| status.service = *service);
                    continue;
                }
                Output::WakeAt(at) => {
                    self.wake = Some(self.began + Duration::from_nanos(at.as_nanos()));
                    continue;
                }
                Output::Accept { offer, launches, refuse } => {
                    (calls::accept(&offer, &launches, refuse, &self.run.role), "ACCEPT")
                }
                Output::Decline { offers, refuse } => (calls::decline(&offers, refuse), "DECLINE"),
                Output::Revive => (calls::revive(), "REVIVE"),
                Output::Suppress => (calls::suppress(), "SUPPRESS"),
                Output::Kill { task, agent, grace } => {
                    (calls::kill(&task, agent.as_deref(), grace), "KILL")
                }
                Output::Acknowledge { task, agent, uuid } => {
                    (calls::acknowledge(&task, &agent, uuid), "ACKNOWLEDGE")
                }
                Output::Reconcile(tasks) => (calls::reconcile(&tasks), "RECONCILE"),
            };
            if let Some(open) = link
                && let Err(why) = open.call(call, name).await
            {
                tracing::info!(framework = self.run.name, %why, "a call failed; subscribing again");
                self.tell(|status| status.error = Some(why.to_string()));
                *link = None;
            }
        }
        self.maybe_tear_down(link).await
    }

    /// When a teardown was asked for and nothing runs any more.
    async fn maybe_tear_down(&mut self, link: &mut Option<Link>) -> Result<(), End> {
        let left = self.service.status().map_or(0, |status| status.tasks.len());
        if self.deadline.is_none() || left > 0 {
            return Ok(());
        }
        match (&self.info.framework_id, link) {
            (Some(_), None) => return Ok(()),
            (Some(_), Some(link)) => {
                if let Err(why) = link.call(calls::teardown(), "TEARDOWN").await {
                    tracing::warn!(framework = self.run.name, %why, "teardown");
                    return Ok(());
                }
            }
            (None, _) => {}
        }
        Err(self.cleared().await)
    }

    async fn cleared(&self) -> End {
        if let Err(why) = self.znodes.clear().await {
            tracing::warn!(framework = self.run.name, %why, "znodes are left");
        }
        End::TornDown(Ok(()))
    }

    async fn on_stop(&mut self, link: &mut Option<Link>) -> Result<(), End> {
        match *self.stop.borrow_and_update() {
            Stop::No => return Ok(()),
            Stop::Leave => return Err(End::Left),
            Stop::Teardown => {}
        }
        let grace = self.specs.borrow().task.grace;
        self.deadline.get_or_insert_with(|| Clock::now() + grace + LONGEST_TEARDOWN);
        self.step(Input::Stop, link).await
    }

    /// `true` when another master leads.
    async fn on_news(&mut self, news: News, link: &mut Option<Link>) -> Result<bool, End> {
        match news {
            News::Spec => {
                let spec = self.specs.borrow_and_update().clone();
                self.step(Input::Spec(Box::new(spec)), link).await?;
            }
            News::Time => self.step(Input::Tick, link).await?,
            News::Stop => self.on_stop(link).await?,
            News::Master => {
                let leader = self.masters.borrow_and_update().as_ref().map(authority);
                // While nobody leads, the subscribed one may still be the next.
                return Ok(match (leader, link) {
                    (Some(leader), Some(link)) => link.master() != leader,
                    (None, Some(_)) => false,
                    (_, None) => true,
                });
            }
            News::Deposed => return Err(End::Deposed),
            News::Deadline => return Err(self.on_deadline(link).await),
        }
        Ok(false)
    }

    async fn on_deadline(&mut self, link: &mut Option<Link>) -> End {
        if let Some(link) = link
            && link.call(calls::teardown(), "TEARDOWN").await.is_ok()
        {
            return self.cleared().await;
        }
        let tasks = self.service.status().map_or(0, |status| status.tasks.len());
        if tasks == 0 {
            return self.cleared().await;
        }
        let framework = format!("{}/{}", self.run.namespace, self.run.name);
        let why = self.told.borrow().error.clone();
        let why = why.unwrap_or_else(|| String::from("they did not end in time"));
        End::TornDown(Err(StopError::TasksLeft { framework, tasks, why }))
    }

    async fn news(&mut self) -> News {
        let deposed = async {
            let lost = self.standing.wait_for(|standing| !standing.is_leading()).await;
            drop(lost);
        };
        // A sender that is gone changes nothing any more: its handle was dropped, and the job with it.
        tokio::select! {
            Ok(()) = self.specs.changed() => News::Spec,
            Ok(()) = self.stop.changed() => News::Stop,
            Ok(()) = self.masters.changed() => News::Master,
            () = deposed => News::Deposed,
            () = at(self.wake) => News::Time,
            () = at(self.deadline) => News::Deadline,
            else => pending().await,
        }
    }

    fn framework_info(&self) -> FrameworkInfo {
        let capability = |kind: CapabilityType| Capability { r#type: Some(kind as i32) };
        FrameworkInfo {
            user: self.run.user.clone(),
            name: format!("{}/{}", self.run.namespace, self.run.name),
            id: self.info.framework_id.as_deref().map(Into::into),
            failover_timeout: Some(self.run.failover_timeout.as_secs_f64()),
            checkpoint: Some(true),
            roles: vec![self.run.role.to_string()],
            capabilities: vec![
                capability(CapabilityType::TaskKillingState),
                capability(CapabilityType::PartitionAware),
                capability(CapabilityType::MultiRole),
                capability(CapabilityType::ReservationRefinement),
            ],
            ..FrameworkInfo::default()
        }
    }

    fn deposed(&self, why: &RegistryError) -> End {
        let mut said = why.to_string();
        let mut next = std::error::Error::source(why);
        while let Some(source) = next {
            said = format!("{said}: {source}");
            next = source.source();
        }
        tracing::warn!(framework = self.run.name, why = said, "cannot go on leading");
        self.tell(|status| {
            status.leading = false;
            status.error = Some(said);
        });
        End::Deposed
    }

    fn tell(&self, change: impl FnOnce(&mut Status)) {
        self.told.send_if_modified(|status| {
            let before = status.clone();
            change(status);
            *status != before
        });
    }

    fn now(&self) -> Instant {
        Instant::from_nanos(u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }
}

async fn at(time: Option<Clock>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => pending().await,
    }
}

/// Where a master is reached: by its address, else its host name, else the number of old masters.
fn authority(info: &MasterInfo) -> String {
    if let Some(address) = &info.address
        && let Some(host) = address.ip.as_ref().or(address.hostname.as_ref())
    {
        return format!("{host}:{}", address.port);
    }
    match &info.hostname {
        Some(host) => format!("{host}:{}", info.port),
        // The bytes are in the order of the network, read as a little-endian number.
        None => format!("{}:{}", Ipv4Addr::from(info.ip.to_le_bytes()), info.port),
    }
}

/// Above the run of every task that an earlier leader launched: a million a second.
fn first_run() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(1, |since| since.as_secs() << 20)
}

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// How long an offer is refused that cannot be read.
const USELESS: Duration = Duration::from_secs(3600);
