//! What the rows of the table of operations are written with.
//!
//! Used by [`super::table`] alone. Always true: the type and its table are made of the same rows.

/// `path` with and without the version.
macro_rules! plain {
    ($path:literal) => {
        &[concat!("/v1", $path), $path]
    };
}

/// The same, and as Azure's clients write it, with the model in the path.
macro_rules! with_deployment {
    ($path:literal) => {
        &[concat!("/v1", $path), $path, concat!("/openai/deployments/{}", $path)]
    };
}

/// The same, and as OpenAI's oldest clients write it.
macro_rules! with_engine {
    ($path:literal) => {
        &[
            concat!("/v1", $path),
            $path,
            concat!("/engines/{}", $path),
            concat!("/openai/deployments/{}", $path),
        ]
    };
}

/// The same, and as LiteLLM's queue was called, which is served at once.
macro_rules! with_queue {
    ($path:literal) => {
        &[
            concat!("/v1", $path),
            $path,
            concat!("/engines/{}", $path),
            concat!("/openai/deployments/{}", $path),
            concat!("/queue", $path),
        ]
    };
}

/// `path`, and below the name of its provider, as clients write it whose base address is that of a pass-through.
macro_rules! with_provider {
    ($path:literal) => {
        &[$path, concat!("/anthropic", $path)]
    };
}

/// `path` with and without the version, and as Azure's clients write it where no model is in the path.
macro_rules! with_account {
    ($path:literal) => {
        &[concat!("/v1", $path), $path, concat!("/openai/v1", $path), concat!("/openai", $path)]
    };
}

/// What Google's clients ask of a model: at both of its versions and the one before them, without a version, and as Vertex AI's
/// clients write it, whose project and place say nothing here.
macro_rules! of_google {
    ($($action:literal),+) => {
        &[$(
            concat!("/v1beta/models/{}", $action),
            concat!("/v1/models/{}", $action),
            concat!("/v1alpha/models/{}", $action),
            concat!("/models/{}", $action),
            concat!("/v1beta1/projects/{}", $action),
            concat!("/v1/projects/{}", $action),
        )+]
    };
}

/// Makes the type and the table of its rows, which so cannot disagree.
macro_rules! operations {
    ($($(#[$doc:meta])* $name:ident = $row:expr,)+) => {
        /// A request that goes to an upstream.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Operation {
            $($(#[$doc])* $name,)+
        }

        const COUNT: usize = [$(Operation::$name),+].len();

        impl Operation {
            /// All operations; `Operation::ALL[o as usize] == o`.
            pub const ALL: [Operation; COUNT] = [$(Operation::$name),+];
        }

        pub(super) static ROWS: [Row; COUNT] = [$($row),+];
    };
}
