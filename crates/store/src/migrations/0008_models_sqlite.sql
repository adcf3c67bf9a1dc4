-- Deployments, credentials and settings that are made at run time: the tables of LiteLLM, as it names them.
create table {hale}"LiteLLM_ProxyModelTable" (
    "model_id" text not null,
    "model_name" text not null,
    "litellm_params" text not null check ("litellm_params" is null or json_valid("litellm_params")),
    "model_info" text check ("model_info" is null or json_valid("model_info")),
    "blocked" integer not null default 0,
    "created_at" integer,
    "created_by" text,
    "updated_at" integer,
    "updated_by" text,
    primary key ("model_id")
);
create table {hale}"LiteLLM_CredentialsTable" (
    "credential_id" text not null,
    "credential_name" text not null,
    "display_name" text,
    "credential_values" text not null check ("credential_values" is null or json_valid("credential_values")),
    "credential_info" text check ("credential_info" is null or json_valid("credential_info")),
    "created_at" integer,
    "created_by" text,
    "updated_at" integer,
    "updated_by" text,
    primary key ("credential_id"),
    unique ("credential_name")
);
create table {hale}"LiteLLM_Config" (
    "param_name" text not null,
    "param_value" text check ("param_value" is null or json_valid("param_value")),
    "reload_revision" bigint not null default 0,
    primary key ("param_name")
);
