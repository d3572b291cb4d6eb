//! What to do about commands that the target has and does not end: ABORT TASK, then harder means.

use ohci_raw::bus::{Address, Instant};

use super::{FetchAgent, Need, State};
use crate::initiator::command::{CommandError, CommandTag};
use crate::initiator::context::Context;
use crate::initiator::notice::{ManagementError, Notice};
use crate::wire::Function;

/// How far the attempt to get the agent back has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Recovery {
    pub(super) function: Function,
    /// Whether the target has answered at all.
    pub(super) answered: bool,
}

impl FetchAgent {
    /// Takes a command back, whether the target has it or not.
    pub(in crate::initiator) fn abort(&mut self, tag: CommandTag, context: &mut Context) {
        for queue in [&mut self.urgent, &mut self.queue] {
            if let Some(index) = queue.iter().position(|waiting| waiting.tag == tag) {
                queue.remove(index);
                context.notices.push_back(Notice::Completed {
                    tag,
                    result: Err(CommandError::Aborted),
                });
                return;
            }
        }
        let Some(slot) = self.slot_of(tag) else {
            return;
        };
        self.victims.push((tag, CommandError::Aborted));
        if let Some(task) = &mut self.tasks[slot as usize] {
            // The agent may not have fetched it yet.
            task.orb.make_dummy();
        }
        if self.state == State::Ready {
            self.abort_outstanding(context);
        }
    }

    fn slot_of(&self, tag: CommandTag) -> Option<u32> {
        self.order.iter().copied().find(|&slot| {
            self.tasks[slot as usize]
                .as_ref()
                .is_some_and(|task| task.waiting.tag == tag)
        })
    }

    /// The agent is of no use as it is. What is outstanding must be gone from the target before
    /// it is issued again: a WRITE that is carried out late, after the command that replaced it
    /// and after later ones, would bring old data back.
    pub(super) fn restart(&mut self, now: Instant, context: &mut Context) {
        if self.order.is_empty() {
            self.reset(1, now, context);
        } else {
            self.recover(Function::ABORT_TASK_SET, None);
        }
    }

    /// Has everything aborted that is outstanding: the agent is reset afterwards, so the
    /// commands that nobody wants to abort are issued again too.
    pub(super) fn abort_outstanding(&mut self, context: &Context) {
        if let [slot] = *self.order.make_contiguous() {
            let orb = context.layout.orb(slot);
            self.recover(Function::ABORT_TASK, Some(orb));
        } else {
            self.recover(Function::ABORT_TASK_SET, None);
        }
    }

    fn recover(&mut self, function: Function, orb: Option<Address>) {
        let answered = match self.state {
            State::Recovering(recovery) => recovery.answered,
            _ => false,
        };
        self.state = State::Recovering(Recovery { function, answered });
        self.needs.push_back(Need::Task { function, orb });
    }

    /// The task management function that was needed has ended.
    pub(in crate::initiator) fn recovered(
        &mut self,
        result: Result<(), ManagementError>,
        now: Instant,
        context: &mut Context,
    ) {
        let State::Recovering(mut recovery) = self.state else {
            return;
        };
        let Err(error) = result else {
            self.restart_after_recovery(now, context);
            return;
        };
        recovery.answered |= matches!(error, ManagementError::Refused { .. });
        self.state = State::Recovering(recovery);
        match recovery.function {
            Function::ABORT_TASK => self.recover(Function::ABORT_TASK_SET, None),
            // LOGICAL UNIT RESET aborts the commands of the other hosts as well, so a target that
            // merely does not know ABORT TASK SET is spared it.
            Function::ABORT_TASK_SET if !recovery.answered => {
                self.recover(Function::LOGICAL_UNIT_RESET, None);
            }
            // Linux's target refuses all of them. AGENT_RESET is all that is left, and what
            // Linux's initiator does from the start.
            _ if recovery.answered => self.restart_after_recovery(now, context),
            _ => self
                .needs
                .push_back(Need::GiveUp(ManagementError::NotAborted)),
        }
    }

    fn restart_after_recovery(&mut self, now: Instant, context: &mut Context) {
        self.interrupt();
        self.reset(1, now, context);
    }

    /// The owner asks for a task management function for the whole task set.
    pub(in crate::initiator) fn hold(&mut self) {
        self.held += 1;
    }

    /// It was answered.
    pub(in crate::initiator) fn release(
        &mut self,
        function: Function,
        result: &Result<(), ManagementError>,
        now: Instant,
        context: &mut Context,
    ) {
        self.held = self.held.saturating_sub(1);
        // In every other state the agent is reset sooner or later, and all is issued again.
        if self.state != State::Ready {
            return;
        }
        match result {
            // The agent went with the login.
            Ok(()) if function == Function::TARGET_RESET => {}
            Ok(()) => self.restart_after_recovery(now, context),
            // The target may have carried it out, or not.
            Err(ManagementError::NoAnswer { .. }) => self.restart(now, context),
            // It has not, and goes on with what it has.
            Err(_) => {}
        }
    }

    pub(super) fn time_out(&mut self, now: Instant, context: &mut Context) {
        let mut late = 0;
        for &slot in &self.order {
            let Some(task) = &self.tasks[slot as usize] else {
                continue;
            };
            if now >= task.deadline {
                let command = &task.waiting.command;
                let allowed = command.timeout.unwrap_or(context.config.command_timeout);
                self.victims
                    .push((task.waiting.tag, CommandError::TimedOut(allowed)));
                late += 1;
            }
        }
        context.counters.timeouts += late;
        if late > 0 {
            self.abort_outstanding(context);
        }
    }
}
