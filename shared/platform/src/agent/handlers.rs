//! The bus' view of an agent: one handler for commands, one for webhooks.

use super::Agent;
use crate::config::of_workspace;
use crate::platform::Platform;
use async_trait::async_trait;
use bus::{Delivery, Failure, Handler, Json, TriggerEvent};
use domain::command::{AgentCommand, Verb};
use std::sync::Arc;

/// Handles the commands to a platform's agents.
#[derive(Debug)]
pub struct Commands<P>(pub Arc<Agent<P>>);

#[async_trait]
impl<P: Platform> Handler for Commands<P> {
    type Event = Json<AgentCommand>;

    async fn handle(
        &self,
        Json(mut command): Json<AgentCommand>,
        delivery: &Delivery,
    ) -> Result<(), Failure> {
        let agent = &self.0;
        command.config = of_workspace(command.config, &command.job.workspace);
        if command.platform != agent.platform.name() {
            return Err(Failure::Reject(format!(
                "a command to {} came to {}",
                command.platform,
                agent.platform.name()
            )));
        }
        agent.wants_news(&command.job.workspace, &command.config);
        match command.verb {
            Verb::Trigger => agent.trigger(&command, delivery).await,
            Verb::Observe => agent.observe(&command, delivery).await,
            Verb::Cancel => agent.cancel(&command, delivery).await,
        }
    }
}

/// Handles the platform's webhooks.
#[derive(Debug)]
pub struct Events<P>(pub Arc<Agent<P>>);

#[async_trait]
impl<P: Platform> Handler for Events<P> {
    type Event = TriggerEvent;

    async fn handle(&self, event: TriggerEvent, delivery: &Delivery) -> Result<(), Failure> {
        self.0.webhook(&event, delivery).await
    }
}
