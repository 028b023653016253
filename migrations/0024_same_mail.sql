-- What tells whether a mail at a source is still the one that was stored: servers
-- give one id to several mails, or use it again.

alter table mailrow.source_messages
    add column content bytea,
    add column stamp   text,
    add constraint source_messages_content_is_a_hash check (length(content) = 16);
comment on column mailrow.source_messages.content is
    'First half of the SHA-256 of the mail that was stored, without fields that mail programs write into it, such as Status. NULL: it was stored by an earlier version.';
comment on column mailrow.source_messages.stamp is
    'What else the folder said of the mail when it was stored: the size at a POP3 server, the INTERNALDATE at an IMAP server. Where that changes, the mail is read again. NULL: nothing.';

drop function mailrow_polling.known(bigint, bigint, text[]);
create function mailrow_polling.known(p_source bigint, p_folder bigint, p_ids text[])
returns table (id text, state text, done text, due boolean, content bytea, stamp text)
language plpgsql security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off as $$
begin
    if exists (select from mailrow.source_messages m
               where m.source_id = p_source and m.folder_id = p_folder and m.gone_at is not null) then
        update mailrow.source_messages m set gone_at = null
        where m.source_id = p_source and m.folder_id = p_folder and m.id = any (p_ids) and m.gone_at is not null;
    end if;
    return query
        select m.id, m.state, m.done, m.retry_at is null or m.retry_at <= now(), m.content, m.stamp from mailrow.source_messages m
        where m.source_id = p_source and m.folder_id = p_folder and m.id = any (p_ids);
end $$;
comment on function mailrow_polling.known is
    'What is known of mails that are in a folder. due: whether it is time to try a failed one again.';

create function mailrow_polling.settle_all(
    p_source bigint, p_folder bigint, p_ids text[], p_contents bytea[], p_stamps text[], p_places integer[], p_mails bigint[]
) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    insert into mailrow.source_messages (source_id, folder_id, id, mail, state, content, stamp)
    select p_source, p_folder, u.id, p_mails[u.place], 'stored', u.content, u.stamp
    from unnest(p_ids, p_contents, p_stamps, p_places) u (id, content, stamp, place)
    on conflict on constraint source_messages_pkey do update set
        mail = excluded.mail, state = 'stored', done = null, reason = null, retry_at = null, gone_at = null, changed_at = now(),
        content = excluded.content, stamp = excluded.stamp;
end $$;
comment on function mailrow_polling.settle_all is
    'Records that mails of a source are stored, each under the number in p_mails that its place says. Called in the statement that stores them.';

create function mailrow_polling.settle(
    p_source bigint, p_folder bigint, p_id text, p_content bytea, p_stamp text, p_mail bigint
) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if p_mail is not null then
        perform mailrow_polling.settle_all(p_source, p_folder, array[p_id], array[p_content], array[p_stamp], array[1], array[p_mail]);
    end if;
end $$;
comment on function mailrow_polling.settle(bigint, bigint, text, bytea, text, bigint) is
    'The same for one mail. Called with NULL when the statement stored nothing.';

-- Programs of an earlier version may still run.
create or replace function mailrow_polling.settle(p_source bigint, p_folder bigint, p_id text, p_mail bigint) returns void
language sql security definer set search_path = pg_catalog, pg_temp as $$
    select mailrow_polling.settle(p_source, p_folder, p_id, null, null, p_mail);
$$;
comment on function mailrow_polling.settle(bigint, bigint, text, bigint) is 'The same, as programs of an earlier version call it.';

create function mailrow_polling.stamp(p_source bigint, p_folder bigint, p_id text, p_stamp text) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    update mailrow.source_messages m set stamp = p_stamp
    where m.source_id = p_source and m.folder_id = p_folder and m.id = p_id;
end $$;
comment on function mailrow_polling.stamp is
    'Records what a folder says of a mail by now that was read again and is still the one that was stored.';
