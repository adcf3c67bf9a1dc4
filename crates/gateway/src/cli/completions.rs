//! `hale completions SHELL` and `hale man`: made from the table of commands and options.
//!
//! Called by `main`. Always true: a command or option that exists is in them, because they are made from the one table.

use std::process::ExitCode;

use clap::{Args, Command, ValueEnum};
use clap_complete::aot::Generator as _;
use clap_complete::aot::{Bash, Elvish, Fish, PowerShell, Zsh};

use crate::console::{complain, print};

/// Options of `hale completions`.
#[derive(Args, Clone, Debug)]
pub(crate) struct CompletionsOptions {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// A shell that has completions.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Shell {
    Bash,
    Elvish,
    Fish,
    Powershell,
    Zsh,
}

/// Options of `hale man`.
#[derive(Args, Clone, Debug)]
pub(crate) struct ManualOptions {
    /// The page of this subcommand, such as `doctor`
    #[arg(value_name = "COMMAND")]
    command: Option<String>,
}

/// `hale completions SHELL`, from the table `command`.
pub(crate) fn run(options: &CompletionsOptions, mut command: Command) -> ExitCode {
    command.set_bin_name("hale");
    command.build();
    let mut text = Vec::new();
    match options.shell {
        Shell::Bash => Bash.generate(&command, &mut text),
        Shell::Elvish => Elvish.generate(&command, &mut text),
        Shell::Fish => Fish.generate(&command, &mut text),
        Shell::Powershell => PowerShell.generate(&command, &mut text),
        Shell::Zsh => Zsh.generate(&command, &mut text),
    }
    print(&String::from_utf8_lossy(&text));
    ExitCode::SUCCESS
}

/// `hale man [COMMAND]`, from the table `command`.
pub(crate) fn manual(options: &ManualOptions, mut command: Command) -> ExitCode {
    command.build();
    let (command, title) = match &options.command {
        None => (command, "hale".to_owned()),
        Some(name) => match command.find_subcommand(name) {
            Some(found) => (found.clone(), format!("hale-{name}")),
            None => {
                complain(&format!("hale has no command `{name}`; `hale --help` lists them"));
                return ExitCode::from(2);
            }
        },
    };
    let mut text = Vec::new();
    if let Err(error) = clap_mangen::Man::new(command).title(title).render(&mut text) {
        complain(&format!("the page cannot be made: {error}"));
        return ExitCode::from(1);
    }
    print(&String::from_utf8_lossy(&text));
    ExitCode::SUCCESS
}
