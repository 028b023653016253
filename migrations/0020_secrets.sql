-- Where the passwords of sources are, and their OAuth2 tokens. No column has a
-- secret in clear: a reference says where it is, and what is sealed opens only with
-- a key file that the database never sees, for one source and one server.

alter table mailrow.sources
    add column secret text,
    add constraint sources_secret_is_a_reference check (secret ~
        '^(file:/[^\u0001-\u001f\u007f]+|env:[A-Za-z_][A-Za-z0-9_]*|command:[^\u0001-\u001f\u007f]+|credential:[A-Za-z0-9_-][A-Za-z0-9._-]*|sealed:[A-Za-z0-9_-]{40,})$');
comment on column mailrow.sources.secret is
    'Where its password is: file:, env:, command:, credential: or sealed:; docs/polling.md. Never the password. NULL: there is none, or the source is logged into with a token. mailrow poll runs what command: says.';

create table mailrow.source_tokens (
    source_id      bigint      not null,
    provider       text        not null,
    token_endpoint text        not null,
    client_id      text        not null,
    client_secret  text,
    scope          text        not null,
    refresh_token  text,
    access_token   text,
    usable_until   timestamptz,
    refreshed_at   timestamptz,
    authorised_at  timestamptz not null default now(),
    constraint source_tokens_pkey primary key (source_id),
    constraint source_tokens_source_fkey foreign key (source_id) references mailrow.sources on delete cascade,
    constraint source_tokens_provider_not_empty check (provider <> ''),
    constraint source_tokens_client_not_empty check (client_id <> ''),
    -- http: only to this machine (RFC 8252 8.3).
    constraint source_tokens_endpoint_is_private check (token_endpoint ~ '^(https://|http://(localhost|127\.0\.0\.1|\[::1\])(:[0-9]+)?/)'),
    constraint source_tokens_client_secret_is_a_reference check (client_secret ~
        '^(file:/[^\u0001-\u001f\u007f]+|env:[A-Za-z_][A-Za-z0-9_]*|command:[^\u0001-\u001f\u007f]+|credential:[A-Za-z0-9_-][A-Za-z0-9._-]*|sealed:[A-Za-z0-9_-]{40,})$'),
    constraint source_tokens_refresh_token_is_sealed check (refresh_token ~ '^sealed:[A-Za-z0-9_-]{40,}$'),
    constraint source_tokens_access_token_is_sealed check (access_token ~ '^sealed:[A-Za-z0-9_-]{40,}$'),
    constraint source_tokens_access_token_ends check ((access_token is null) = (usable_until is null)),
    constraint source_tokens_can_be_refreshed check (refresh_token is not null or client_secret is not null)
);
comment on table mailrow.source_tokens is
    'One row per source that is logged into with OAuth2, written by mailrow auth. Pollers refresh it.';
comment on column mailrow.source_tokens.provider is 'What mailrow auth was called with: google, microsoft, yahoo or a URL.';
comment on column mailrow.source_tokens.token_endpoint is 'Where tokens are had from.';
comment on column mailrow.source_tokens.client_id is 'Whom the provider knows this installation as.';
comment on column mailrow.source_tokens.client_secret is 'Where the secret of the client is, as in sources.secret; NULL: it has none.';
comment on column mailrow.source_tokens.scope is 'What the tokens allow, in the provider''s words.';
comment on column mailrow.source_tokens.refresh_token is
    'Sealed; some providers give another with each use, and the old one ends. NULL: the client has rights of its own (client credentials).';
comment on column mailrow.source_tokens.access_token is 'Sealed; NULL before the first.';
comment on column mailrow.source_tokens.usable_until is 'Until when access_token is used, by the clock of the database: a little before it ends.';
comment on column mailrow.source_tokens.refreshed_at is 'When access_token came; NULL before the first.';
comment on column mailrow.source_tokens.authorised_at is 'When mailrow auth was run.';

create function mailrow_polling.token(
    p_source bigint, p_lock boolean,
    out provider text, out token_endpoint text, out client_id text, out client_secret text, out scope text,
    out refresh_token text, out access_token text
) returns setof record language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if p_lock then
        perform pg_advisory_xact_lock(hashtextextended('mailrow.source_tokens', p_source));
    end if;
    -- After a failed run the provider may have ended the access token early: then
    -- only one of this minute is used.
    return query
    select t.provider, t.token_endpoint, t.client_id, t.client_secret, t.scope, t.refresh_token,
           case when t.usable_until > clock_timestamp()
                 and (s.failures = 0 or t.refreshed_at > clock_timestamp() - interval '1 minute') then t.access_token end
    from mailrow.source_tokens t join mailrow.sources s using (source_id)
    where t.source_id = p_source;
end $$;
comment on function mailrow_polling.token is
    'The OAuth2 tokens of a source; access_token is NULL when it is to be refreshed. With p_lock one poller at a time gets there, until its transaction ends: a refresh token may work only once.';

create function mailrow_polling.rotate_token(
    p_source bigint, p_from text, p_refresh text, p_access text, p_seconds double precision
) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    update mailrow.source_tokens t set refresh_token = p_refresh, access_token = p_access,
        usable_until = clock_timestamp() + p_seconds * interval '1 second', refreshed_at = clock_timestamp()
    where t.source_id = p_source and t.refresh_token is not distinct from p_from;
    return found;
end $$;
comment on function mailrow_polling.rotate_token is
    'Stores refreshed tokens in place of those refreshed with p_from. False when mailrow auth has written others meanwhile.';
