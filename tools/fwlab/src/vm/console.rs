//! What a machine has written to its console, for people.

/// How much of a console an error shows.
const LINES: usize = 30;
/// How a kernel says that it has given up.
const PANIC: &str = "Kernel panic";

/// The end of a console, and before it why the kernel has panicked if that is further up: the
/// stack that it shows is long.
pub(super) fn last_lines(text: &str) -> String {
    let lines: Vec<_> = text.lines().collect();
    let (before, last) = lines.split_at(lines.len().saturating_sub(LINES));
    let mut panic = before.iter().filter(|line| line.contains(PANIC));
    let shown: Vec<_> = panic.next_back().into_iter().chain(last).copied().collect();
    shown.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_console_says_why_the_kernel_has_panicked() {
        let numbers = |range: std::ops::Range<usize>| {
            let lines: Vec<_> = range.map(|number| number.to_string()).collect();
            lines.join("\n")
        };
        assert_eq!(last_lines(""), "");
        assert_eq!(last_lines(&numbers(0..100)), numbers(70..100));
        let panic = "[1.0] Kernel panic - not syncing: sysrq triggered crash";
        let text = format!("{}\n{panic}\n{}", numbers(0..9), numbers(9..100));
        assert_eq!(last_lines(&text), format!("{panic}\n{}", numbers(70..100)));
        let text = format!("{panic}\n{}", numbers(0..5));
        assert_eq!(last_lines(&text), text);
    }
}
