//! How long an agent waits for what.

use bus::Limits;
use std::time::Duration;

/// How long an agent waits for what.
#[derive(Debug, Clone)]
pub struct AgentSettings {
    /// How many commands at once, how often, how long.
    pub commands: Limits,
    /// The same for webhooks.
    pub events: Limits,
    /// A call to the platform is given up after this; what it did is then unknown.
    pub call_deadline: Duration,
    /// A recorded intent to trigger is good for a call for so long. With the call's deadline and the platform's search lag it
    /// makes the window after which a run that cannot be found does not exist.
    pub lease: Duration,
    /// How long a run that was accepted without a name is looked for at once, before the command is put back.
    pub find_within: Duration,
    /// A run that is absent must be absent still after so long before its absence is believed.
    pub gone_grace: Duration,
    /// How many runs this process calls missing in ten minutes. More at once are more likely out of our sight than gone.
    pub missing_at_most: usize,
    /// A run that cannot be found is called lost after this.
    pub lost_after: Duration,
    /// A webhook about a run nobody knows waits this long for our own record of it.
    pub stranger_grace: Duration,
    /// A watch is closed when no command spoke of its place for so long. Sweeps speak of every place with an active job.
    pub watch_idle: Duration,
}

impl AgentSettings {
    /// So many commands, and as many webhooks of each kind, at once; calls are given up after `call_deadline`.
    pub fn new(slots: usize, call_deadline: Duration) -> Self {
        let limits = Limits { slots, ..Limits::default() };
        Self { commands: limits, events: limits, call_deadline, ..Self::default() }
    }
}

impl Default for AgentSettings {
    fn default() -> Self {
        Self {
            commands: Limits::default(),
            events: Limits::default(),
            call_deadline: Duration::from_secs(15),
            lease: Duration::from_secs(5),
            find_within: Duration::from_secs(10),
            gone_grace: Duration::from_secs(60),
            missing_at_most: 5,
            lost_after: Duration::from_secs(15 * 60),
            stranger_grace: Duration::from_secs(30),
            watch_idle: Duration::from_secs(30 * 60),
        }
    }
}
