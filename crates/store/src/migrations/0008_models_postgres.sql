-- Deployments, credentials and settings that are made at run time: the tables of LiteLLM, as it names them.
create table {hale}"LiteLLM_ProxyModelTable" (
    "model_id" text not null,
    "model_name" text not null,
    "litellm_params" jsonb not null,
    "model_info" jsonb,
    "blocked" boolean not null default false,
    "created_at" timestamp(3) default current_timestamp,
    "created_by" text,
    "updated_at" timestamp(3) default current_timestamp,
    "updated_by" text,
    primary key ("model_id")
);
create table {hale}"LiteLLM_CredentialsTable" (
    "credential_id" text not null,
    "credential_name" text not null,
    "display_name" text,
    "credential_values" jsonb not null,
    "credential_info" jsonb,
    "created_at" timestamp(3) default current_timestamp,
    "created_by" text,
    "updated_at" timestamp(3) default current_timestamp,
    "updated_by" text,
    primary key ("credential_id"),
    unique ("credential_name")
);
create table {hale}"LiteLLM_Config" (
    "param_name" text not null,
    "param_value" jsonb,
    "reload_revision" bigint not null default 0,
    primary key ("param_name")
);
