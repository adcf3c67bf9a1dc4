//! Options that several commands have: the config that is read, and how it is checked.
//!
//! Used by `hale check`, `hale doctor` and `hale init`. Always true: a config is named in one way everywhere.

use clap::Args;

/// The variable that names the config.
const CONFIG_VARIABLE: &str = "CONFIG_FILE_PATH";
/// The config of `hale check` and `hale doctor`, if none is named.
pub(super) const DEFAULT_CONFIG: &str = "config.yaml";

/// The config that a subcommand reads.
#[derive(Args, Clone, Debug)]
pub(crate) struct ConfigFile {
    /// The config file; `-` reads standard input
    #[arg(value_name = "FILE", env = CONFIG_VARIABLE, default_value = DEFAULT_CONFIG)]
    pub(super) config: String,
    /// The same, written as for the start
    #[arg(
        id = "named",
        long = "config",
        short = 'c',
        value_name = "FILE",
        hide = true,
        conflicts_with = "config"
    )]
    pub(super) named: Option<String>,
}

impl ConfigFile {
    /// Its path, or `-`.
    pub(crate) fn path(&self) -> &str {
        self.named.as_deref().unwrap_or(&self.config)
    }
}

/// Options of `hale check`.
#[derive(Args, Clone, Debug)]
pub(crate) struct CheckOptions {
    #[command(flatten)]
    pub(crate) file: ConfigFile,
    /// Exit with 78 if there is any warning, and treat unknown and duplicate keys as errors
    #[arg(long)]
    pub(crate) strict: bool,
    /// The address that the start is to listen on: whether the master key is good enough for it
    #[arg(long, env = "HOST")]
    pub(crate) host: Option<String>,
    /// Print JSON, for programs
    #[arg(long)]
    pub(crate) json: bool,
    /// Print the last line only
    #[arg(long, short, conflicts_with = "json")]
    pub(crate) quiet: bool,
}
