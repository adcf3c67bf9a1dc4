//! The demo on a terminal: one picture that is drawn again in place each second.
//!
//! Used by [`super::narrator`], which knows what happened. Always true: a picture is never wider or higher than the terminal, so that it is
//! found again; what is drawn stays on the screen when the demo ends.

use crate::console::paint::Paint;

/// Events that are shown.
pub(super) const EVENTS: usize = 8;
/// Columns of the bar of a provider.
const BAR: usize = 24;

/// How a part of a line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    Plain,
    Bold,
    Faint,
    Good,
    Bad,
    Limited,
}

/// A line: its parts.
type Line = Vec<(Look, String)>;

/// One provider.
pub(super) struct Row {
    pub(super) name: String,
    /// How it is, in words.
    pub(super) state: String,
    pub(super) look: Look,
    /// Requests that it answered in the last second, and in all.
    pub(super) second: u32,
    pub(super) total: u32,
    pub(super) probes: u64,
}

/// What is drawn.
pub(super) struct View<'v> {
    pub(super) second: u64,
    pub(super) seconds: u64,
    pub(super) gateway: &'v str,
    pub(super) rows: &'v [Row],
    /// What happens now.
    pub(super) told: &'v str,
    /// What happened, the newest last.
    pub(super) events: &'v [(Look, String)],
    pub(super) answered: u32,
    pub(super) lost: u32,
    pub(super) moved: u32,
}

/// The screen.
#[derive(Default)]
pub(super) struct Screen {
    /// Lines of the picture before.
    drawn: usize,
}

impl Screen {
    /// The text that draws a picture in the place of the one before.
    pub(super) fn draw(
        &mut self,
        view: &View<'_>,
        ((columns, rows), paint): ((usize, usize), &Paint),
    ) -> String {
        let mut lines = lines(view);
        // The cursor stands below the last one.
        lines.truncate(rows.saturating_sub(1));
        let mut text = match self.drawn {
            0 => String::new(),
            // Up to its first line.
            drawn => format!("\x1b[{drawn}A\r"),
        };
        for line in &lines {
            // Each line is ended where it ends: nothing of the picture before is left.
            text.push_str(&format!("{}\x1b[K\n", painted(line, columns, paint)));
        }
        // Lines that this picture has no more.
        text.push_str("\x1b[J");
        self.drawn = lines.len();
        text
    }
}

fn lines(view: &View<'_>) -> Vec<Line> {
    use Look::{Bad, Bold, Faint, Good, Limited, Plain};
    let mut lines: Vec<Line> = vec![
        vec![
            (Bold, format!("{:>3} of {} s", view.second, view.seconds)),
            (Plain, format!("   {} answered", view.answered)),
            (if view.lost == 0 { Good } else { Bad }, format!("   {} lost", view.lost)),
            (Plain, format!("   {} moved to another provider", view.moved)),
        ],
        vec![(Faint, format!("dashboard: http://{}/ui/   Ctrl+C ends the demo", view.gateway))],
        Vec::new(),
    ];
    let sum: u32 = view.rows.iter().map(|row| row.second).sum();
    let widest = view.rows.iter().map(|row| row.second).max().unwrap_or(0).max(1);
    for row in view.rows {
        let bar = (row.second as usize * BAR).div_ceil(widest as usize).min(BAR);
        let share = (row.second * 100).checked_div(sum).unwrap_or(0);
        lines.push(vec![
            (Bold, format!("{:<12}", row.name)),
            (row.look, format!("{:<26}", row.state)),
            (
                if row.name == "last-resort" { Limited } else { Good },
                format!("{:<BAR$}", "#".repeat(bar)),
            ),
            (Plain, format!(" {share:>3} % {:>5}", row.total)),
            (
                Faint,
                if row.probes > 0 { format!("   {} probes", row.probes) } else { String::new() },
            ),
        ]);
    }
    lines.extend([Vec::new(), vec![(Bold, view.told.to_owned())], Vec::new()]);
    let hidden = view.events.len().saturating_sub(EVENTS);
    lines.extend(view.events.iter().skip(hidden).map(|event| vec![event.clone()]));
    lines
}

/// A line, cut to the terminal's width.
fn painted(line: &Line, columns: usize, paint: &Paint) -> String {
    let mut left = columns.saturating_sub(1);
    let mut text = String::new();
    for (look, part) in line {
        let part: String = part.chars().take(left).collect();
        left -= part.chars().count();
        text.push_str(&match look {
            Look::Plain => part,
            Look::Bold => paint.bold(&part),
            Look::Faint => paint.faint(&part),
            Look::Good => paint.green(&part),
            Look::Bad => paint.red(&part),
            Look::Limited => paint.yellow(&part),
        });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view<'v>(rows: &'v [Row], events: &'v [(Look, String)]) -> View<'v> {
        View {
            second: 3,
            seconds: 60,
            gateway: "127.0.0.1:4000",
            rows,
            told: "flaky now answers 500. Its requests move to the others; probes confirm the failure.",
            events,
            answered: 24,
            lost: 0,
            moved: 2,
        }
    }

    fn row(name: &str, second: u32) -> Row {
        Row {
            name: name.to_owned(),
            state: "healthy".to_owned(),
            look: Look::Good,
            second,
            total: 9,
            probes: 2,
        }
    }

    #[test]
    fn a_picture_is_drawn_in_the_place_of_the_one_before() {
        let rows = [row("steady", 4), row("slow", 2), row("flaky", 0)];
        let events: Vec<_> = (0..20).map(|at| (Look::Bad, format!("event {at}"))).collect();
        let paint = Paint::on(false);
        let mut screen = Screen::default();
        let first = screen.draw(&view(&rows, &events), ((100, 40), &paint));
        let height = first.matches('\n').count();
        assert!(!first.contains("A\r") && first.contains("http://127.0.0.1:4000/ui/"));
        assert!(first.contains(&format!("{}  66 %", "#".repeat(BAR))) && first.contains(" 33 %"));
        assert!(first.contains("event 19") && !first.contains("event 11"), "the last eight");
        let second = screen.draw(&view(&rows, &[]), ((100, 40), &paint));
        assert!(second.starts_with(&format!("\x1b[{height}A\r")));
        let third = screen.draw(&view(&rows, &events), ((100, 40), &paint));
        assert!(
            third.starts_with(&format!("\x1b[{}A\r", height - EVENTS)),
            "what is gone is not counted"
        );
        assert!(third.ends_with("\x1b[J"));
    }

    #[test]
    fn no_picture_is_higher_than_the_terminal() {
        let rows = [row("steady", 4), row("slow", 2)];
        let events: Vec<_> = (0..20).map(|at| (Look::Bad, format!("event {at}"))).collect();
        for high in [1, 5, 10, 24] {
            let mut screen = Screen::default();
            let first = screen.draw(&view(&rows, &events), ((100, high), &Paint::on(false)));
            assert!(first.matches('\n').count() < high, "{high}");
        }
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        let rows = [row("steady", 4)];
        let events = [(Look::Plain, "é".repeat(500))];
        for columns in [1, 20, 60, 140] {
            let text =
                Screen::default().draw(&view(&rows, &events), ((columns, 40), &Paint::on(false)));
            for line in text.lines() {
                let seen = line.replace("\x1b[K", "").replace("\x1b[J", "");
                assert!(seen.chars().count() < columns.max(2), "{columns}: {seen}");
            }
        }
    }
}
