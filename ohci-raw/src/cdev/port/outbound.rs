//! Requests under way: which closure stands for which token.

use std::collections::HashMap;

use super::nodes::Key;
use crate::bus::Token;

/// A closure is what the kernel hands back with a response. It is never made from a token: what
/// comes in as a closure is looked up, and what is not found was not ours.
#[derive(Default)]
pub(super) struct Outbound {
    under_way: HashMap<u64, (Key, Token)>,
    last: u64,
}

impl Outbound {
    /// Notes a request that is about to be sent through a file, and gives its closure.
    pub(super) fn begin(&mut self, key: Key, token: Token) -> u64 {
        self.last += 1;
        self.under_way.insert(self.last, (key, token));
        self.last
    }

    /// The request that ended, if it went through this file and had not ended before.
    pub(super) fn end(&mut self, key: Key, closure: u64) -> Option<Token> {
        let &(sent_through, token) = self.under_way.get(&closure)?;
        if sent_through != key {
            return None;
        }
        self.under_way.remove(&closure);
        Some(token)
    }

    /// Takes out the requests whose file was closed (`None`: all), oldest first. No response
    /// will come.
    pub(super) fn abandon(&mut self, key: Option<Key>) -> Vec<Token> {
        let mut closures: Vec<u64> = self
            .under_way
            .iter()
            .filter(|(_, (sent_through, _))| key.is_none_or(|key| key == *sent_through))
            .map(|(&closure, _)| closure)
            .collect();
        closures.sort_unstable();
        closures
            .iter()
            .filter_map(|closure| Some(self.under_way.remove(closure)?.1))
            .collect()
    }
}
