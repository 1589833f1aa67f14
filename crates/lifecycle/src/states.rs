//! Time in state: who was in which state, from when to when.
//!
//! A summary holds every observation, so that it merges exactly: the summary of a whole has the same bytes as the merge
//! of the summaries of its parts, in any order, also where they overlap in time. Observations are ordered by time, then
//! by their sequence number (those without one come first), then by the name of the state; the last one at an instant
//! says what the state is from then on, those before it lasted no time. An observation of the state that holds already
//! changes nothing. Times are microseconds.

use std::ops::ControlFlow;

use crate::Error;

/// The sequence number of an observation that has none.
pub const NO_SEQUENCE: i64 = i64::MIN;

/// An observation: since `at`, the state is the one with this number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Event {
    /// When.
    pub at: i64,
    /// Order among observations at one instant.
    pub sequence: i64,
    /// Number of the state among the names.
    pub state: u32,
}

/// A stretch of time in one state. A period without duration is an entry all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    /// Number of the state among the names.
    pub state: u32,
    /// When it was entered, or the start of the time that is looked at.
    pub start: i64,
    /// When it was left, or the end of the time that is looked at.
    pub end: i64,
}

const VERSION: u8 = 1;
const SEQUENCES: u8 = 1;

/// Writes a summary. `events` are those of the names by their number, in any order; they are sorted in place.
pub fn encode(names: &[&[u8]], events: &mut [Event]) -> Vec<u8> {
    // Names in order, so that equal content has equal bytes, and the number of a state sorts as its name.
    let mut order: Vec<usize> = (0..names.len()).collect();
    order.sort_by_key(|index| names.get(*index));
    let mut number = vec![0_u32; names.len()];
    let mut sorted: Vec<&[u8]> = Vec::with_capacity(names.len());
    for index in order {
        let Some(name) = names.get(index) else {
            continue;
        };
        if sorted.last() != Some(name) {
            sorted.push(name);
        }
        if let Some(number) = number.get_mut(index) {
            *number = u32::try_from(sorted.len() - 1).unwrap_or(u32::MAX);
        }
    }
    for event in &mut *events {
        event.state = number.get(event.state as usize).copied().unwrap_or(0);
    }
    if !events.is_sorted() {
        events.sort_unstable();
    }
    let sequences = events.iter().any(|event| event.sequence != NO_SEQUENCE);

    let mut bytes = Vec::with_capacity(16 + names.len() * 12 + events.len() * 7);
    bytes.push(VERSION);
    bytes.push(if sequences { SEQUENCES } else { 0 });
    put(&mut bytes, sorted.len() as u64);
    for name in sorted {
        put(&mut bytes, name.len() as u64);
        bytes.extend_from_slice(name);
    }
    put(&mut bytes, events.len() as u64);
    let mut last = 0_i64;
    for event in events {
        put(&mut bytes, zigzag(event.at.wrapping_sub(last)));
        put(&mut bytes, u64::from(event.state));
        if sequences {
            put(&mut bytes, zigzag(event.sequence));
        }
        last = event.at;
    }
    bytes
}

fn zigzag(value: i64) -> u64 {
    (value.cast_unsigned() << 1) ^ (value >> 63).cast_unsigned()
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

#[allow(clippy::cast_possible_truncation)] // seven bits at a time
fn put(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

fn take(bytes: &mut &[u8]) -> Result<u64, Error> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first().ok_or(Error::Decode)?;
        *bytes = rest;
        let part = u64::from(byte & 0x7f);
        // The tenth byte has one bit to give, and no number ends with a zero byte that adds nothing.
        if (shift == 63 && part > 1) || (shift > 0 && *byte == 0) {
            return Err(Error::Decode);
        }
        value |= part << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(Error::Decode)
}

/// A summary as it is stored.
#[derive(Debug, Clone)]
pub struct Summary<'a> {
    names: Vec<&'a [u8]>,
    sequences: bool,
    count: usize,
    events: &'a [u8],
}

impl<'a> Summary<'a> {
    /// Reads the head of a summary that this crate has written; its events are read when they are asked for.
    ///
    /// # Errors
    /// [`Error::Decode`] for bytes that [`encode`] does not write.
    pub fn new(bytes: &'a [u8]) -> Result<Self, Error> {
        let [VERSION, flags @ (0 | SEQUENCES), rest @ ..] = bytes else {
            return Err(Error::Decode);
        };
        let mut rest = rest;
        let length = |rest: &mut &[u8]| -> Result<usize, Error> {
            usize::try_from(take(rest)?).map_err(|_| Error::Decode)
        };
        let name_count = length(&mut rest)?;
        // Each name takes a byte at least: a bound before memory is reserved.
        if name_count > rest.len() {
            return Err(Error::Decode);
        }
        let mut names: Vec<&[u8]> = Vec::with_capacity(name_count);
        for _ in 0..name_count {
            let size = length(&mut rest)?;
            let (name, after) = rest.split_at_checked(size).ok_or(Error::Decode)?;
            if names.last().is_some_and(|last| *last >= name) {
                return Err(Error::Decode);
            }
            names.push(name);
            rest = after;
        }
        let count = length(&mut rest)?;
        if count > rest.len() {
            return Err(Error::Decode);
        }
        Ok(Self {
            names,
            sequences: *flags == SEQUENCES,
            count,
            events: rest,
        })
    }

    /// Reads a summary and every event of it.
    ///
    /// # Errors
    /// [`Error::Decode`] for bytes that [`encode`] does not write.
    pub fn checked(bytes: &'a [u8]) -> Result<Self, Error> {
        let summary = Self::new(bytes)?;
        let mut used = vec![false; summary.names.len()];
        let mut last: Option<Event> = None;
        let (mut any_sequence, mut in_order) = (false, true);
        let rest = summary.read(|event| {
            if let Some(used) = used.get_mut(event.state as usize) {
                *used = true;
            }
            any_sequence |= event.sequence != NO_SEQUENCE;
            in_order &= last.is_none_or(|last| last <= event);
            last = Some(event);
            ControlFlow::Continue(())
        })?;
        let as_written = in_order
            && rest.is_empty()
            && used.iter().all(|used| *used)
            && any_sequence == summary.sequences
            && summary.count > 0;
        if as_written {
            Ok(summary)
        } else {
            Err(Error::Decode)
        }
    }

    /// Visits the events in order, until told to stop; gives the bytes behind them.
    fn read(&self, mut visit: impl FnMut(Event) -> ControlFlow<()>) -> Result<&'a [u8], Error> {
        let mut rest = self.events;
        let mut at = 0_i64;
        for _ in 0..self.count {
            at = at.wrapping_add(unzigzag(take(&mut rest)?));
            let state = u32::try_from(take(&mut rest)?).map_err(|_| Error::Decode)?;
            if state as usize >= self.names.len() {
                return Err(Error::Decode);
            }
            let sequence = if self.sequences {
                unzigzag(take(&mut rest)?)
            } else {
                NO_SEQUENCE
            };
            if visit(Event {
                at,
                sequence,
                state,
            })
            .is_break()
            {
                break;
            }
        }
        Ok(rest)
    }

    /// The names of the states, in the order of their bytes.
    pub fn names(&self) -> &[&'a [u8]] {
        &self.names
    }

    /// The number of a state; none for one that does not occur.
    pub fn number(&self, name: &[u8]) -> Option<u32> {
        let index = self.names.binary_search(&name).ok()?;
        u32::try_from(index).ok()
    }

    /// Every event, in order.
    ///
    /// # Errors
    /// [`Error::Decode`] for bytes that [`encode`] does not write.
    pub fn events(&self) -> Result<Vec<Event>, Error> {
        // A stored event takes two bytes at least, so that this is bounded by the bytes.
        let mut events = Vec::with_capacity(self.count);
        self.read(|event| {
            events.push(event);
            ControlFlow::Continue(())
        })?;
        Ok(events)
    }

    /// Visits the periods within `since ..= until` in order: the last one, which is open, lasts to `until`.
    ///
    /// # Errors
    /// [`Error::Decode`] for bytes that [`encode`] does not write.
    pub fn periods(
        &self,
        since: i64,
        until: i64,
        mut visit: impl FnMut(Period),
    ) -> Result<(), Error> {
        let mut open: Option<(u32, i64)> = None;
        let mut close = |state: u32, start: i64, end: i64| {
            if start <= until && (end > since || start >= since) {
                visit(Period {
                    state,
                    start: start.max(since),
                    end: end.min(until),
                });
            }
        };
        self.read(|event| {
            match open {
                Some((state, _)) if state == event.state => {}
                Some((state, start)) => {
                    close(state, start, event.at);
                    open = Some((event.state, event.at));
                }
                None => open = Some((event.state, event.at)),
            }
            if event.at > until {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })?;
        if let Some((state, start)) = open {
            close(state, start, until.max(start));
        }
        Ok(())
    }

    /// Time and number of entries of each state, by number, within `since ..= until`.
    ///
    /// # Errors
    /// [`Error::Decode`] for bytes that [`encode`] does not write.
    pub fn totals(&self, since: i64, until: i64) -> Result<Vec<(i64, i64)>, Error> {
        let mut totals = vec![(0_i64, 0_i64); self.names.len()];
        self.periods(since, until, |period| {
            if let Some((duration, entries)) = totals.get_mut(period.state as usize) {
                *duration = duration.saturating_add(period.end.saturating_sub(period.start));
                *entries += 1;
            }
        })?;
        Ok(totals)
    }

    /// The state at a time; none before the first event.
    ///
    /// # Errors
    /// [`Error::Decode`] for bytes that [`encode`] does not write.
    pub fn state_at(&self, time: i64) -> Result<Option<&'a [u8]>, Error> {
        let mut state = None;
        self.read(|event| {
            if event.at > time {
                return ControlFlow::Break(());
            }
            state = Some(event.state);
            ControlFlow::Continue(())
        })?;
        Ok(state.and_then(|state| self.names.get(state as usize).copied()))
    }

    /// Times of the first and the last event.
    ///
    /// # Errors
    /// [`Error::Decode`] for bytes that [`encode`] does not write.
    pub fn span(&self) -> Result<Option<(i64, i64)>, Error> {
        let mut span: Option<(i64, i64)> = None;
        self.read(|event| {
            span = Some(span.map_or((event.at, event.at), |(first, _)| (first, event.at)));
            ControlFlow::Continue(())
        })?;
        Ok(span)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NAMES: [&[u8]; 4] = [b"running", b"down", b"", b"idle"];

    fn event(at: i64, sequence: i64, state: u32) -> Event {
        Event {
            at,
            sequence,
            state,
        }
    }

    fn summary(events: &[Event]) -> Vec<u8> {
        // Only the names that occur, as an aggregate would meet them.
        let mut used: Vec<u32> = events.iter().map(|e| e.state).collect();
        used.dedup();
        let names: Vec<&[u8]> = used.iter().map(|s| NAMES[*s as usize]).collect();
        let mut events: Vec<Event> = events
            .iter()
            .map(|e| Event {
                state: u32::try_from(used.iter().position(|s| *s == e.state).unwrap()).unwrap(),
                ..*e
            })
            .collect();
        encode(&names, &mut events)
    }

    fn timeline(bytes: &[u8], since: i64, until: i64) -> Vec<(String, i64, i64)> {
        let summary = Summary::checked(bytes).unwrap();
        let mut found = Vec::new();
        summary
            .periods(since, until, |p| {
                let name = String::from_utf8_lossy(summary.names()[p.state as usize]).into_owned();
                found.push((name, p.start, p.end));
            })
            .unwrap();
        found
    }

    #[test]
    fn the_open_state_counts_and_repetition_does_not() {
        let bytes = summary(&[
            event(10, NO_SEQUENCE, 0),
            event(20, NO_SEQUENCE, 0),
            event(30, NO_SEQUENCE, 1),
        ]);
        let all = timeline(&bytes, i64::MIN, 100);
        assert_eq!(all, [("running".into(), 10, 30), ("down".into(), 30, 100)]);
        assert_eq!(timeline(&bytes, 15, 25), [("running".into(), 15, 25)]);
        assert_eq!(timeline(&bytes, 30, 40), [("down".into(), 30, 40)]);
        assert_eq!(timeline(&bytes, i64::MIN, 5), []);
        let s = Summary::new(&bytes).unwrap();
        assert_eq!(s.state_at(9).unwrap(), None);
        assert_eq!(s.state_at(10).unwrap(), Some(&b"running"[..]));
        assert_eq!(s.state_at(1000).unwrap(), Some(&b"down"[..]));
        assert_eq!(s.span().unwrap(), Some((10, 30)));
    }

    #[test]
    fn ties_follow_the_sequence_then_the_name() {
        let by_sequence = summary(&[event(10, 2, 1), event(10, 1, 0)]);
        assert_eq!(
            timeline(&by_sequence, 0, 20),
            [("running".into(), 10, 10), ("down".into(), 10, 20)]
        );
        let by_name = summary(&[event(10, NO_SEQUENCE, 0), event(10, NO_SEQUENCE, 1)]);
        assert_eq!(
            timeline(&by_name, 0, 20),
            [("down".into(), 10, 10), ("running".into(), 10, 20)]
        );
        let s = Summary::new(&by_sequence).unwrap();
        assert_eq!(s.totals(0, 20).unwrap(), [(10, 1), (0, 1)]);
    }

    #[test]
    fn what_was_not_written_here_is_refused() {
        let good = summary(&[event(10, 3, 0), event(20, 1, 1)]);
        assert!(Summary::checked(&good).is_ok());
        for end in 0..good.len() {
            assert!(Summary::checked(&good[..end]).is_err());
        }
        let mut longer = good.clone();
        longer.push(0);
        assert!(Summary::checked(&longer).is_err());
        assert!(Summary::checked(&[VERSION, 0, 0, 0]).is_err());
    }

    fn events() -> impl Strategy<Value = Vec<Event>> {
        proptest::collection::vec(
            (0i64..40, prop_oneof![Just(NO_SEQUENCE), 0i64..3], 0u32..4)
                .prop_map(|(at, sequence, state)| event(at, sequence, state)),
            1..40,
        )
    }

    proptest! {
        /// Minute by minute: the state is that of the last event at or before it.
        #[test]
        fn agrees_with_a_clock(events in events(), since in 0i64..40, length in 0i64..30) {
            let bytes = summary(&events);
            let until = since + length;
            let s = Summary::checked(&bytes).unwrap();
            let mut expected = [0_i64; 4];
            for minute in since..until {
                let holds = events.iter().filter(|e| e.at <= minute)
                    .max_by_key(|e| (e.at, e.sequence, NAMES[e.state as usize]));
                if let Some(holds) = holds {
                    expected[holds.state as usize] += 1;
                }
                prop_assert_eq!(s.state_at(minute).unwrap(), holds.map(|e| NAMES[e.state as usize]));
            }
            let totals = s.totals(since, until).unwrap();
            for (state, wanted) in expected.iter().enumerate() {
                let got = s.number(NAMES[state]).map_or(0, |n| totals[n as usize].0);
                prop_assert_eq!(got, *wanted);
            }
        }

        #[test]
        fn periods_fill_the_time(events in events(), more in 0i64..30) {
            let bytes = summary(&events);
            let s = Summary::checked(&bytes).unwrap();
            let (first, last) = s.span().unwrap().unwrap();
            let mut end = first;
            let mut before = None;
            s.periods(i64::MIN, last + more, |p| {
                assert_eq!(p.start, end);
                assert_ne!(before, Some(p.state));
                before = Some(p.state);
                end = p.end;
            }).unwrap();
            prop_assert_eq!(end, last + more);
        }

        /// However the events are split, and whether the parts overlap or not.
        #[test]
        fn merging_gives_the_whole(events in events(), cut in 0usize..40, swap in any::<bool>()) {
            let (mut a, mut b) = events.split_at(cut.min(events.len()));
            if swap { (a, b) = (b, a); }
            let parts: Vec<Vec<u8>> =
                [a, b].iter().filter(|part| !part.is_empty()).map(|part| summary(part)).collect();
            let mut names: Vec<&[u8]> = Vec::new();
            let mut all = Vec::new();
            for part in &parts {
                let s = Summary::new(part).unwrap();
                let offset = u32::try_from(names.len()).unwrap();
                names.extend(s.names());
                all.extend(s.events().unwrap().into_iter().map(|e| Event { state: e.state + offset, ..e }));
            }
            prop_assert_eq!(encode(&names, &mut all), summary(&events));
        }

        #[test]
        fn any_bytes_are_an_error_or_a_summary(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            if let Ok(s) = Summary::checked(&bytes) {
                let names: Vec<&[u8]> = s.names().to_vec();
                prop_assert_eq!(encode(&names, &mut s.events().unwrap()), bytes.clone());
            }
            if let Ok(s) = Summary::new(&bytes) {
                let _ = s.totals(i64::MIN, i64::MAX);
            }
        }

        #[test]
        fn times_of_any_size(times in proptest::collection::vec(any::<i64>(), 1..9)) {
            let events: Vec<Event> = times.iter().map(|t| event(*t, NO_SEQUENCE, 0)).collect();
            let bytes = summary(&events);
            let mut sorted = times.clone();
            sorted.sort_unstable();
            let read: Vec<i64> =
                Summary::checked(&bytes).unwrap().events().unwrap().iter().map(|e| e.at).collect();
            prop_assert_eq!(read, sorted);
        }
    }
}
