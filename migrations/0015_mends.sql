-- Mends of deliveries: mails that no server took, threads that split, deadlocks.

create or replace function mailrow.put_back(p_raw bytea, p_recipe integer[], p_contents bytea[]) returns bytea
language plpgsql immutable parallel safe set search_path = pg_catalog, pg_temp as $$
declare
    v_raw    bytea := p_raw || ''::bytea;  -- taken out of TOAST once, not for every piece
    v_pieces bytea[] := '{}';
    v_from   integer := 1;
    v_taken  integer := 0;
    v_upto   integer;
begin
    if p_recipe is null then
        return p_raw;
    end if;
    for i in 1 .. cardinality(p_recipe) by 5 loop
        v_upto := p_recipe[i] - v_taken + 1;
        -- One || at a time: two would copy the array.
        v_pieces := v_pieces || substring(v_raw from v_from for v_upto - v_from);
        v_pieces := v_pieces || mailrow.wrap_base64(p_contents[p_recipe[i + 2]], p_recipe[i + 3], p_recipe[i + 4]);
        v_from := v_upto;
        v_taken := v_taken + p_recipe[i + 1];
    end loop;
    return (select string_agg(piece, ''::bytea order by n) from unnest(v_pieces) with ordinality as t (piece, n))
           || substring(v_raw from v_from);
end $$;

create or replace function mailrow.undo_quoted_printable(p_bytes bytea) returns bytea
language sql immutable strict parallel safe set search_path = pg_catalog, pg_temp as $$
    -- unistr() undoes \00e4, which is what =e4 becomes; it does not take 00, at
    -- which the text is divided.
    select coalesce(string_agg(case n when 1 then ''::bytea else '\x00' end
                               || convert_to(unistr(replace(replace(piece, '\', '\\'), '=', '\00')), 'LATIN1'), ''::bytea order by n), '')
    from string_to_table(replace(replace(convert_from(p_bytes, 'LATIN1'), E'=\r\n', ''), E'=\n', ''), '=00')
         with ordinality as t (piece, n)
$$;

create or replace function mailrow.read_pieces(p_stored text, p_raw bytea, p_pieces integer[]) returns text
language sql immutable parallel safe set search_path = pg_catalog, pg_temp as $$
    select coalesce(p_stored, (
        -- Taken out of TOAST once, not for every piece.
        with once as materialized (
            select p_raw || ''::bytea as raw, p_pieces || '{}'::integer[] as pieces where p_pieces is not null)
        select string_agg(replace(convert_from(mailrow.undo_encoding(
                   substring(once.raw from pieces[i] + 1 for pieces[i + 1] - pieces[i]), pieces[i + 2] & 3),
                   case pieces[i + 2] & 4 when 0 then 'UTF8' else 'WIN1252' end), E'\r\n', E'\n'), E'\n' order by i)
        from once, generate_series(1, cardinality(pieces), 3) i))
$$;

create or replace function mailrow.join_threads(p_account bigint, p_ids bigint[]) returns bigint
language plpgsql set search_path = pg_catalog, pg_temp set enable_seqscan = off as $$
declare
    v_threads bigint[];
begin
    -- One at a time in an account.
    perform from mailrow.accounts a where a.account_id = p_account for no key update;
    select array_agg(distinct t.thread order by t.thread) into v_threads
    from mailrow.thread_ids t
    where t.account_id = p_account and t.id = any (p_ids);
    loop
        -- Whom this waits for has added ids that its snapshot does not show: it looks again.
        update mailrow.thread_ids t set thread = v_threads[1]
        where t.account_id = p_account and t.thread = any (v_threads[2:]);
        exit when not found;
    end loop;
    update mailrow.messages m set thread = v_threads[1]
    where m.account_id = p_account and m.thread = any (v_threads[2:]);
    return v_threads[1];
end $$;

create or replace function mailrow.find_thread(p_account bigint, p_ids bigint[], p_subject_id bigint, p_new bigint) returns bigint
language plpgsql set search_path = pg_catalog, pg_temp set enable_seqscan = off as $$
declare
    v_added   bigint[];
    v_others  bigint[];  -- ids that others have brought
    v_threads bigint[];
begin
    -- Every delivery brings its ids first and in their order, so that two of one
    -- thread wait for each other here, and never in a circle.
    with added as (
        insert into mailrow.thread_ids (account_id, id, thread)
        select p_account, i, coalesce((select min(t.thread) from mailrow.thread_ids t
                                       where t.account_id = p_account and t.id = any (p_ids)), p_new)
        from unnest(p_ids || p_subject_id) i where i is not null order by i
        on conflict on constraint thread_ids_pkey do nothing
        returning id
    )
    select coalesce(array_agg(a.id), '{}') into v_added from added a;
    v_others := array(select i from unnest(p_ids) i where i <> all (v_added));
    loop
        select array_agg(distinct t.thread order by t.thread) into v_threads
        from mailrow.thread_ids t
        where t.account_id = p_account and t.id = any (p_ids);
        if cardinality(v_threads) > 1 then
            return mailrow.join_threads(p_account, p_ids);
        elsif cardinality(v_others) = 0 or v_threads is null then
            return coalesce(v_threads[1], p_new);
        end if;
        -- A lock on a row that others see keeps them from joining this thread to an
        -- older one until our message is there.
        perform from mailrow.thread_ids t
        where t.account_id = p_account and t.id = any (v_others) and t.thread = v_threads[1] limit 1 for share;
        if found then
            return v_threads[1];
        end if;
        v_others := array(select t.id from mailrow.thread_ids t where t.account_id = p_account and t.id = any (v_others));
    end loop;
end $$;

create or replace function mailrow_delivery.deliver(
    p_schema integer, p_reject_unknown boolean,
    p_account text, p_mailbox text, p_extension_mailbox boolean,
    p_addresses text[], p_wildcards text[], p_bases text[],
    p_line_ends text, p_header_size integer, p_parser smallint,
    p_sent_at timestamptz, p_sent_offset smallint,
    p_subject text, p_from_name text, p_from_address text, p_sender_address text,
    p_to_addresses text[], p_cc_addresses text[], p_reply_to text[],
    p_message_id text, p_in_reply_to text, p_references_ids text[],
    p_defects text[], p_field_starts integer[], p_field_values text[],
    p_content_type text, p_text text, p_text_pieces integer[], p_html text, p_html_pieces integer[],
    p_reply_ranges integer[], p_attachment_names text[], p_recipient_names text[], p_auto_submitted text, p_bulk boolean, p_list_id text,
    p_parts jsonb, p_address_list jsonb, p_thread_ids bigint[], p_subject_id bigint, p_cuts integer[], p_contents bytea[],
    p_source text, p_sender text, p_recipients text[], p_original_recipients text[], p_extensions text[],
    p_client_address inet, p_client_helo text, p_client_name text, p_client_protocol text,
    p_sasl_username text, p_queue_id text, p_received_at timestamptz, p_flags text[],
    p_envelope_defects text[], p_identity bytea, p_raw bytea,
    out ids bigint[], out outcomes text[]
) language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_accounts  bigint[] := '{}';
    v_mailboxes text[] := '{}';
    v_account   bigint;
    v_name      text;
    v_route     text;
    v_mailbox   text;
    v_of        integer[];
    v_done      record;
    v_missing   text[] := '{}';  -- names of accounts to make, in the places of their recipients
    v_heard     boolean;
    v_notify    boolean := false;
begin
    if p_schema <> 2 then
        raise exception 'mailrow: this program wants schema version %, the database has %', p_schema, 2
            using errcode = 'MR001', hint = 'Run mailrow migrate, or install the mailrow-deliver of this version.';
    end if;
    -- Locks no row, but the table against delete_account(), which waits until we are done.
    perform from mailrow.accounts a where a.account_id = -1 for key share;
    -- Whoever hears "stored" deletes the mail: no commit may be lost in a crash.
    if current_setting('synchronous_commit') = 'off' then
        perform set_config('synchronous_commit', 'local', true);
    end if;

    for i in 1 .. cardinality(p_recipients) loop
        v_route := null; v_mailbox := null;
        if p_account is null then
            select r.account, replace(r.mailbox, '*', lower(coalesce(p_extensions[i], ''))) into v_route, v_mailbox
            from mailrow.routes r
            where r.pattern in (p_addresses[i], p_wildcards[i], p_bases[i], substring(p_bases[i] from '@[^@]*$'), '*')
            order by case r.pattern when p_addresses[i] then 1 when p_wildcards[i] then 2 when p_bases[i] then 3
                                    when '*' then 5 else 4 end
            limit 1;
        end if;
        v_name := coalesce(p_account, v_route, p_bases[i]);
        select a.account_id, a.notify_until > now() into v_account, v_heard from mailrow.accounts a where a.name = v_name;
        v_notify := v_notify or coalesce(v_heard, false);
        if v_account is null and not (p_reject_unknown and v_route is null) then
            v_missing[i] := v_name;
        end if;
        v_accounts := v_accounts || v_account;
        v_mailbox := coalesce(
            case when p_extension_mailbox then lower(nullif(p_extensions[i], '')) end,
            p_mailbox, nullif(v_mailbox, ''), 'INBOX');
        v_mailboxes := v_mailboxes || case lower(v_mailbox) when 'inbox' then 'INBOX' else v_mailbox end;
        if v_account is null then
            outcomes[i] := 'unknown';
            ids[i] := null;
        end if;
    end loop;
    -- In order of their names, so that two deliveries that make the same ones cannot deadlock.
    for v_name in select distinct n from unnest(v_missing) n where n is not null order by n loop
        insert into mailrow.accounts (name) values (v_name) on conflict on constraint accounts_name_key do nothing
        returning account_id into v_account;
        if found then
            insert into mailrow.mailboxes (account_id, mailbox_id, name) values (v_account, 0, 'INBOX');
        else
            select a.account_id into strict v_account from mailrow.accounts a where a.name = v_name;
        end if;
        for i in 1 .. cardinality(v_accounts) loop
            if v_missing[i] = v_name then
                v_accounts[i] := v_account;
            end if;
        end loop;
    end loop;
    v_account := v_accounts[1];

    if cardinality(p_recipients) = 1 then
        if v_account is not null then
            select d.ids, d.outcomes into ids, outcomes from mailrow_delivery.deliver_to(
                v_account, v_mailboxes,
                p_raw, p_line_ends, p_header_size, p_parser, p_sent_at, p_sent_offset,
                p_subject, p_from_name, p_from_address, p_sender_address, p_to_addresses, p_cc_addresses, p_reply_to,
                p_message_id, p_in_reply_to, p_references_ids, p_defects, p_field_starts, p_field_values,
                p_content_type, p_text, p_text_pieces, p_html, p_html_pieces,
                p_reply_ranges, p_attachment_names, p_recipient_names, p_auto_submitted, p_bulk, p_list_id,
                p_parts, p_address_list, p_thread_ids, p_subject_id, p_cuts, p_contents,
                p_source, p_sender, p_recipients, p_original_recipients, p_extensions,
                p_client_address, p_client_helo, p_client_name, p_client_protocol, p_sasl_username, p_queue_id,
                p_received_at, p_flags, p_envelope_defects, p_identity) d;
            if v_notify then
                perform pg_notify('mailrow', ids[1]::text);
            end if;
        end if;
        return;
    end if;

    -- In order of account, so that two deliveries of one mail cannot deadlock.
    for v_account in select distinct a from unnest(v_accounts) a where a is not null order by a loop
        v_of := array_positions(v_accounts, v_account);
        select * into v_done from mailrow_delivery.deliver_to(
            v_account, (select array_agg(v_mailboxes[n]) from unnest(v_of) n),
            p_raw, p_line_ends, p_header_size, p_parser, p_sent_at, p_sent_offset,
            p_subject, p_from_name, p_from_address, p_sender_address, p_to_addresses, p_cc_addresses, p_reply_to,
            p_message_id, p_in_reply_to, p_references_ids, p_defects, p_field_starts, p_field_values,
            p_content_type, p_text, p_text_pieces, p_html, p_html_pieces,
            p_reply_ranges, p_attachment_names, p_recipient_names, p_auto_submitted, p_bulk, p_list_id,
            p_parts, p_address_list, p_thread_ids, p_subject_id, p_cuts, p_contents,
            p_source, p_sender, (select array_agg(p_recipients[n]) from unnest(v_of) n),
            (select array_agg(p_original_recipients[n]) from unnest(v_of) n),
            (select array_agg(p_extensions[n]) from unnest(v_of) n),
            p_client_address, p_client_helo, p_client_name, p_client_protocol, p_sasl_username, p_queue_id,
            p_received_at, p_flags, p_envelope_defects, p_identity);
        for j in 1 .. cardinality(v_of) loop
            ids[v_of[j]] := v_done.ids[j];
            outcomes[v_of[j]] := v_done.outcomes[j];
        end loop;
    end loop;
    if v_notify then
        perform pg_notify('mailrow', i::text) from unnest(ids) i where i is not null;
    end if;
end $$;

-- Two functions of one text: an SQL function spares a connection that delivers once
-- the loading of PL/pgSQL, but is planned at every call; a PL/pgSQL function keeps its plan.
do $do$
declare
    v_parameters constant text := $text$
    p_schema integer,
    p_account text, p_mailbox text, p_extension_mailbox boolean,
    p_address text, p_wildcard text, p_base text,
    p_line_ends text, p_header_size integer, p_parser smallint,
    p_sent_at timestamptz, p_sent_offset smallint,
    p_subject text, p_from_name text, p_from_address text, p_sender_address text,
    p_to_addresses text[], p_cc_addresses text[], p_reply_to text[],
    p_message_id text, p_in_reply_to text, p_references_ids text[],
    p_defects text[], p_field_starts integer[], p_field_values text[],
    p_content_type text, p_text text, p_text_pieces integer[], p_html text, p_html_pieces integer[],
    p_reply_ranges integer[], p_attachment_names text[], p_recipient_names text[], p_auto_submitted text, p_bulk boolean, p_list_id text,
    p_parts jsonb, p_address_list jsonb, p_thread_ids bigint[], p_subject_id bigint,
    p_source text, p_sender text, p_recipient text, p_original_recipient text, p_extension text,
    p_client_address inet, p_client_helo text, p_client_name text, p_client_protocol text,
    p_sasl_username text, p_queue_id text, p_received_at timestamptz, p_flags text[],
    p_envelope_defects text[], p_raw bytea
$text$;
    v_statement constant text := $text$
with route as (
    select r.account, replace(r.mailbox, '*', lower(coalesce(p_extension, ''))) as mailbox from mailrow.routes r
    where p_account is null and r.pattern in (p_address, p_wildcard, p_base, substring(p_base from '@[^@]*$'), '*')
    order by case r.pattern when p_address then 1 when p_wildcard then 2 when p_base then 3 when '*' then 5 else 4 end
    limit 1
), shared as (
    select from mailrow.accounts a where a.account_id = -1 for key share -- as in deliver()
), place as (
    select a.account_id from mailrow.accounts a
    where not exists (select from shared) and p_schema = 2 and a.name = coalesce(p_account, (select account from route), p_base)
      and lower(coalesce(case when p_extension_mailbox then lower(nullif(p_extension, '')) end,
                         p_mailbox, nullif((select mailbox from route), ''), 'INBOX')) = 'inbox'
      and (a.notify_until > now()) is not true
), known as (
    select p.account_id, nextval('mailrow.messages_id_seq') as id,
           (select min(t.thread) from mailrow.thread_ids t
            where t.account_id = p.account_id and t.id = any (p_thread_ids)) as thread,
           (select count(*) from mailrow.thread_ids t
            where t.account_id = p.account_id and t.id = any (p_thread_ids)) as ids,
           (select count(distinct t.thread) from mailrow.thread_ids t
            where t.account_id = p.account_id and t.id = any (p_thread_ids)) as threads
    from place p
), ids as (
    insert into mailrow.thread_ids (account_id, id, thread)
    select k.account_id, i, coalesce(k.thread, k.id)
    from known k, unnest(p_thread_ids || p_subject_id) i where i is not null and k.threads <= 1 order by i
    on conflict on constraint thread_ids_pkey do nothing
    returning id
), message as (
    insert into mailrow.messages (
                    account_id, id, thread, sha256, size, line_ends, header_size, parser, sent_at, sent_offset,
                    subject, from_name, from_address, sender_address, to_addresses, cc_addresses, reply_to,
                    message_id, in_reply_to, references_ids, defects, field_starts, field_values,
                    content_type, "text", text_pieces, html, html_pieces, reply_ranges,
                    attachment_names, recipient_names, auto_submitted, bulk, list_id, raw)
    select account_id, id, coalesce(thread, id), sha256(p_raw), length(p_raw), p_line_ends, p_header_size, p_parser, p_sent_at, p_sent_offset,
                    p_subject, p_from_name, p_from_address, p_sender_address, p_to_addresses, p_cc_addresses, p_reply_to,
                    p_message_id, p_in_reply_to, p_references_ids, p_defects, p_field_starts, p_field_values,
                    p_content_type, p_text, p_text_pieces, p_html, p_html_pieces, p_reply_ranges,
                    p_attachment_names, p_recipient_names, p_auto_submitted, p_bulk, p_list_id, p_raw
    from (select k.account_id, k.id, k.thread from known k
          -- The ids first, then the lock: see find_thread().
          cross join lateral (select count(*) filter (where ids.id = any (p_thread_ids)) as added from ids) n
          left join lateral (select t.thread from mailrow.thread_ids t
                             where n.added >= 0 and t.account_id = k.account_id and t.id = any (p_thread_ids)
                             limit 1 for share) l on true
          where k.threads <= 1
            and case when k.ids + n.added = cardinality(p_thread_ids) and l.thread is not distinct from k.thread then true
                     -- Another delivery has just brought one of the ids: that is for deliver().
                     else mailrow_delivery.leave_to_deliver() end) n
    on conflict on constraint messages_sha256_key do nothing
    returning account_id, id
), parts as (
    insert into mailrow.message_parts (
                    account_id, message, "position", section, content_type, charset, disposition, filename, content_id,
                    encoding, size, header_start, body_start, body_end, attachment, kept)
    select m.account_id, m.id, p."position", p.section, p.content_type, p.charset, p.disposition, p.filename, p.content_id,
                    p.encoding, p.size, p.header_start, p.body_start, p.body_end, p.attachment, p.kept
    from message m, jsonb_to_recordset(p_parts) as p (
                    "position" smallint, section text, content_type text, charset text, disposition text, filename text,
                    content_id text, encoding text, size bigint, header_start integer, body_start integer, body_end integer,
                    attachment boolean, kept text)
), addresses as (
    insert into mailrow.message_addresses (account_id, message, "position", field, address, name)
    select m.account_id, m.id, u."position"::smallint, u.address ->> 0, u.address ->> 1, u.address ->> 2
    from message m, jsonb_array_elements(p_address_list) with ordinality as u (address, "position")
)
insert into mailrow.deliveries (
            account_id, message, mailbox, received_at, source, sender, recipient, original_recipient, extension,
            client_address, client_helo, client_name, client_protocol, sasl_username, queue_id,
            flags, defects)
select message.account_id, message.id, 0, coalesce(p_received_at, now()), p_source, p_sender, p_recipient,
            p_original_recipient, p_extension,
            p_client_address, p_client_helo, p_client_name, p_client_protocol, p_sasl_username, p_queue_id,
            coalesce(p_flags, '{}'), p_envelope_defects
from message
returning id
$text$;
begin
    execute 'create or replace function mailrow_delivery.deliver_one(' || v_parameters || ') returns bigint
language sql security definer begin atomic
    select set_config(''synchronous_commit'', ''local'', true) where current_setting(''synchronous_commit'') = ''off'';
    ' || v_statement || ';
end';
    execute 'create or replace function mailrow_delivery.deliver_next(' || v_parameters || ') returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_column
declare
    v_delivery bigint;
begin
    if current_setting(''synchronous_commit'') = ''off'' then
        perform set_config(''synchronous_commit'', ''local'', true);
    end if;
    ' || v_statement || ' into v_delivery;
    return v_delivery;
end $$';
end $do$;

create function mailrow.index_one_by_one(p_account bigint, p_messages bigint[], p_language text) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_message bigint;
begin
    foreach v_message in array p_messages loop
        begin
            update mailrow.messages m set language = p_language
            where m.account_id = p_account and m.id = v_message;
        exception when data_exception or program_limit_exceeded then
            -- Its text is not where its columns say. It must not keep others from the
            -- index, nor readers from the views; its bytes are what they were.
            update mailrow.messages m set
                language = p_language, text_pieces = null, html_pieces = null, reply_ranges = null, parser = 0,
                defects = m.defects || text 'text-unreadable'
            where m.account_id = p_account and m.id = v_message;
        end;
    end loop;
end $$;
comment on function mailrow.index_one_by_one is
    'Indexes messages of which one cannot be read, and takes from that one what cannot: reparse will read it again.';

create or replace function mailrow.index_mail(p_limit integer default 200) returns integer
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_account  bigint;
    v_language text;
    v_messages bigint[];
begin
    perform mailrow.insist_on_read_committed();
    -- One account at a time, and nothing that another indexer has in hand.
    select m.account_id into v_account from mailrow.messages m where m.language is null limit 1;
    select array_agg(s.id) into v_messages
    from (select m.id from mailrow.messages m
          where m.account_id = v_account and m.language is null
          order by m.id limit p_limit for no key update skip locked) s;
    if v_messages is null then
        return 0;
    end if;
    -- The lock makes set_language() wait, and then find what is indexed here.
    select a.language into v_language from mailrow.accounts a where a.account_id = v_account for share;
    begin
        update mailrow.messages m set language = coalesce(v_language, 'simple')
        where m.account_id = v_account and m.id = any (v_messages);
    exception when data_exception or program_limit_exceeded then
        perform mailrow.index_one_by_one(v_account, v_messages, coalesce(v_language, 'simple'));
    end;
    return cardinality(v_messages);
end $$;

create or replace function mailrow.delete_account(p_name text) returns boolean
language plpgsql set search_path = pg_catalog, pg_temp set lock_timeout = '60s' as $$
declare
    v_account bigint;
begin
    perform mailrow.insist_on_read_committed();
    -- Waits for the deliveries under way, one of which may be for this account, and
    -- those that come wait for us. Readers do not.
    lock table mailrow.accounts in exclusive mode;
    select a.account_id into v_account from mailrow.accounts a where a.name = p_name for update;
    if not found then
        return false;
    end if;
    -- Messages before what delete_mails() removes after them.
    delete from mailrow.messages m where m.account_id = v_account;
    delete from mailrow.claims l where l.account_id = v_account;
    delete from mailrow.identities k where k.account_id = v_account;
    delete from mailrow.deliveries d where d.account_id = v_account;
    delete from mailrow.message_parts p where p.account_id = v_account;
    delete from mailrow.message_addresses l where l.account_id = v_account;
    delete from mailrow.blobs b where b.account_id = v_account;
    delete from mailrow.thread_ids t where t.account_id = v_account;
    delete from mailrow.accounts a where a.account_id = v_account;
    return true;
end $$;
comment on function mailrow.delete_account is
    'Removes an account with all its mail, while deliveries wait: take most of it with delete_mails() before. False when there is none of that name.';

comment on column mailrow.queue_status.consumer is 'Name of the consumer.';
comment on column mailrow.queue_status.owner is 'Role that it belongs to; names are the role''s own.';
comment on column mailrow.queue_status.account is 'The only account that it gets mail of; NULL for all that the role may read.';
comment on column mailrow.queue_status.mailbox is 'The only mailbox that it gets mail of; NULL for all.';
comment on column mailrow.dead_letters.consumer is 'Name of the consumer that gave up.';
comment on column mailrow.dead_letters.owner is 'Role that the consumer belongs to.';
