//! Cycles in a directed graph, such as dependencies of agents.

use std::collections::HashMap;
use std::hash::Hash;

#[derive(Clone, Copy, PartialEq)]
enum Mark {
    OnPath,
    Done,
}

/// A cycle among the edges, from a node back to itself (the first node is repeated at the end); none where there is
/// none. Takes time in proportion to the edges, and no recursion.
pub fn find_cycle<N: Copy + Eq + Hash>(edges: &[(N, N)]) -> Option<Vec<N>> {
    let mut next: HashMap<N, Vec<N>> = HashMap::new();
    for (from, to) in edges {
        next.entry(*from).or_default().push(*to);
    }
    let mut marks: HashMap<N, Mark> = HashMap::new();
    for (start, _) in edges {
        if marks.contains_key(start) {
            continue;
        }
        // Nodes of the current path, each with how many of its edges were followed.
        let mut path: Vec<(N, usize)> = vec![(*start, 0)];
        marks.insert(*start, Mark::OnPath);
        while let Some((node, followed)) = path.last_mut() {
            let target = next
                .get(node)
                .and_then(|targets| targets.get(*followed))
                .copied();
            *followed += 1;
            let Some(target) = target else {
                marks.insert(*node, Mark::Done);
                path.pop();
                continue;
            };
            match marks.get(&target) {
                None => {
                    marks.insert(target, Mark::OnPath);
                    path.push((target, 0));
                }
                Some(Mark::OnPath) => {
                    let mut cycle: Vec<N> = path
                        .iter()
                        .map(|(node, _)| *node)
                        .skip_while(|node| *node != target)
                        .collect();
                    cycle.push(target);
                    return Some(cycle);
                }
                Some(Mark::Done) => {}
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::find_cycle;
    use proptest::prelude::*;

    #[test]
    fn small_graphs() {
        assert_eq!(find_cycle::<u8>(&[]), None);
        assert_eq!(find_cycle(&[(1, 2), (2, 3), (1, 3)]), None);
        assert_eq!(find_cycle(&[(1, 1)]), Some(vec![1, 1]));
        assert_eq!(
            find_cycle(&[(0, 1), (1, 2), (2, 3), (3, 1)]),
            Some(vec![1, 2, 3, 1])
        );
    }

    proptest! {
        /// By repeated removal of nodes without outgoing edges: what is left over has a cycle.
        #[test]
        fn agrees_with_peeling(edges in proptest::collection::vec((0u8..12, 0u8..12), 0..30)) {
            let mut left = edges.clone();
            loop {
                let before = left.len();
                let sources: Vec<u8> = left.iter().map(|e| e.0).collect();
                left.retain(|e| sources.contains(&e.1));
                if left.len() == before {
                    break;
                }
            }
            match find_cycle(&edges) {
                None => prop_assert!(left.is_empty()),
                Some(cycle) => {
                    prop_assert!(!left.is_empty());
                    prop_assert!(cycle.len() > 1 && cycle.first() == cycle.last());
                    for pair in cycle.windows(2) {
                        prop_assert!(edges.contains(&(pair[0], pair[1])));
                    }
                }
            }
        }
    }
}
