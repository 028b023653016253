-- Behind the deliveries: words for the search, removing mail, reading it again, and
-- rights on the new tables.

create function mailrow.index_mail(p_limit integer default 200) returns integer
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
    update mailrow.messages m set language = coalesce(v_language, 'simple')
    where m.account_id = v_account and m.id = any (v_messages);
    return cardinality(v_messages);
end $$;
comment on function mailrow.index_mail is
    'Adds the words of some messages of one account to the index of the search. Returns how many; call it until it returns 0, each time in a transaction of its own.';

create function mailrow.set_language(p_account text, p_language text) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_language constant text := p_language::regconfig::text;
    v_account  bigint;
begin
    update mailrow.accounts a set language = v_language where a.name = p_account returning a.account_id into v_account;
    if not found then
        raise exception 'there is no account %', p_account using errcode = 'no_data_found',
            hint = 'Accounts are made by their first mail; select name from mailrow.accounts lists them.';
    end if;
    update mailrow.messages m set language = v_language
    where m.account_id = v_account and m.language <> v_language;
end $$;
comment on function mailrow.set_language is
    'Sets the text search configuration of an account, such as english or german, and reads the words of its mail again.';

-- Removing. Locks are taken as a delivery does, messages before blobs and each in
-- order; ids of a thread, which a delivery locks first, only where nobody has them.

create function mailrow.drop_blobs(p_account bigint, p_sha256 bytea[]) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    if p_sha256 is null then
        return;
    end if;
    -- A delivery that relies on one of them has locked it: wait for it, then look.
    perform from mailrow.blobs b
    where b.account_id = p_account and b.sha256 = any (p_sha256) order by b.sha256 for update;
    delete from mailrow.blobs b
    where b.account_id = p_account and b.sha256 = any (p_sha256)
      and not exists (select from mailrow.messages m
                      where m.account_id = p_account and m.blobs @> array[b.sha256]);
end $$;
comment on function mailrow.drop_blobs is 'Removes those of the contents that no message refers to.';

create function mailrow.remove_threads(p_account bigint, p_threads bigint[]) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_thread bigint;
    v_free   bigint;
begin
    for v_thread in
        select t from unnest(p_threads) t
        where not exists (select from mailrow.messages m where m.account_id = p_account and m.thread = t) order by t
    loop
        -- A delivery that adds to the thread has locked one of its ids, and may be
        -- waiting for a blob that we hold: then the thread stays.
        select count(*) into v_free
        from (select from mailrow.thread_ids t
              where t.account_id = p_account and t.thread = v_thread for update skip locked) f;
        delete from mailrow.thread_ids t
        where t.account_id = p_account and t.thread = v_thread
          and v_free = (select count(*) from mailrow.thread_ids o where o.account_id = p_account and o.thread = v_thread)
          and not exists (select from mailrow.messages m where m.account_id = p_account and m.thread = v_thread);
    end loop;
end $$;
comment on function mailrow.remove_threads is
    'Removes the ids of those threads that have no message any more.';

create function mailrow.remove_messages(p_account bigint, p_messages bigint[]) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_gone    bigint[];
    v_threads bigint[];
    v_blobs   bytea[];
begin
    with gone as (
        delete from mailrow.messages m
        where m.account_id = p_account and m.id = any (p_messages)
          and not exists (select from mailrow.deliveries o
                          where o.account_id = m.account_id and o.message = m.id)
        returning m.id, m.thread, m.blobs
    )
    select array_agg(g.id), array_agg(distinct g.thread),
           (select array_agg(distinct s order by s) from gone b, unnest(b.blobs) s)
    into v_gone, v_threads, v_blobs from gone g;
    delete from mailrow.message_parts p where p.account_id = p_account and p.message = any (v_gone);
    delete from mailrow.message_addresses l where l.account_id = p_account and l.message = any (v_gone);
    perform mailrow.drop_blobs(p_account, v_blobs);
    perform mailrow.remove_threads(p_account, v_threads);
end $$;
comment on function mailrow.remove_messages is
    'Removes those of the messages that no delivery refers to any more, with all that belongs to them alone.';

create function mailrow.delete_mails(ids bigint[]) returns integer
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_account  bigint;
    v_messages bigint[];
    v_deleted  integer := 0;
    v_of_one   integer;
begin
    perform mailrow.insist_on_read_committed();
    for v_account in select distinct d.account_id from mailrow.deliveries d where d.id = any (ids) order by 1 loop
        v_messages := (select array_agg(distinct d.message order by d.message) from mailrow.deliveries d
                       where d.account_id = v_account and d.id = any (ids));
        -- The locks make a simultaneous delivery of the same content wait or come first.
        perform from mailrow.messages m
        where m.account_id = v_account and m.id = any (v_messages) order by m.id for update;
        with gone as (
            delete from mailrow.deliveries d where d.account_id = v_account and d.id = any (ids)
            returning d.id, d.mailbox, d.recipient
        ), identities as (
            delete from mailrow.identities k using gone g
            where k.account_id = v_account and k.mailbox = g.mailbox and k.recipient = g.recipient and k.delivery = g.id
        ), claims as (
            -- The others go when they are due, or with their ack().
            delete from mailrow.claims l using mailrow.consumers c, gone g
            where l.consumer_id = c.consumer_id and l.mail = g.id and l.account_id = v_account and l.state = 'dead'
        )
        select count(*) into v_of_one from gone;
        perform mailrow.remove_messages(v_account, v_messages);
        v_deleted := v_deleted + v_of_one;
    end loop;
    return v_deleted;
end $$;
comment on function mailrow.delete_mails is
    'Removes arrivals, and each message with its attachments when its last arrival goes. Returns how many there were.';

create or replace function mailrow.delete_mail(p_id bigint) returns boolean
language sql set search_path = pg_catalog, pg_temp as $$
    select mailrow.delete_mails(array[p_id]) = 1
$$;
comment on function mailrow.delete_mail is
    'Removes one arrival, and the message with its attachments when this was its last arrival. False when there is no such row.';

create or replace function mailrow.delete_account(p_name text) returns boolean
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_account bigint;
begin
    perform mailrow.insist_on_read_committed();
    select a.account_id into v_account from mailrow.accounts a where a.name = p_name for update;
    if not found then
        return false;
    end if;
    delete from mailrow.claims l where l.account_id = v_account;
    delete from mailrow.identities k where k.account_id = v_account;
    delete from mailrow.deliveries d where d.account_id = v_account;
    delete from mailrow.messages m where m.account_id = v_account;
    delete from mailrow.message_parts p where p.account_id = v_account;
    delete from mailrow.message_addresses l where l.account_id = v_account;
    delete from mailrow.blobs b where b.account_id = v_account;
    delete from mailrow.thread_ids t where t.account_id = v_account;
    delete from mailrow.accounts a where a.account_id = v_account;
    return true;
end $$;

create or replace function mailrow.apply_grants(p_role text) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    -- Policies with constants and by role name: no subquery, no function call
    -- per row, and they hold on every node of a sharded database.
    v_accounts  text := (select format('account_id = any (%L::bigint[])', array_agg(g.account_id order by g.account_id))
                         from mailrow.grants g where g.role_name = p_role and g.account_id is not null
                         having count(*) > 0);
    v_condition text := case when exists (select from mailrow.grants g where g.role_name = p_role and g.account_id is null)
                             then 'true' else v_accounts end;
    v_to        text := quote_ident(p_role);
    -- A name has at most 63 bytes, and cut off it could be another role's.
    v_policy    text := 'reader ' || case when octet_length(p_role) <= 56 then p_role
                                          else left(encode(sha256(convert_to(p_role, 'UTF8')), 'hex'), 56) end;
    v_table     text;
begin
    if v_condition is not null and current_setting('server_version_num')::integer < 150000 then
        -- Views run as their owner there, so the owner is who is filtered.
        v_to := 'mailrow_owner';
        -- to_regrole is NULL for a role that was dropped since: false, not an error for every reader.
        v_condition := format('pg_has_role(current_user, to_regrole(%L), ''usage'') and (%s)',
                              quote_ident(p_role), v_condition);
    end if;
    foreach v_table in array mailrow.tables_of_mail() loop
        execute format('drop policy if exists %I on mailrow.%I', v_policy, v_table);
        if v_condition is not null and exists (select from pg_roles where rolname = p_role) then
            execute format('create policy %I on mailrow.%I for select to %s using (%s)', v_policy, v_table, v_to, v_condition);
        end if;
    end loop;
end $$;

create function mailrow.tables_of_mail() returns text[]
language sql immutable as $$
    select array['accounts', 'mailboxes', 'messages', 'deliveries', 'blobs', 'message_parts', 'message_addresses']
$$;
comment on function mailrow.tables_of_mail is
    'The tables whose rows are filtered by account for who reads the views.';

-- Reading mail again with a newer parser.

create function mailrow.for_comparison(p_message mailrow.messages) returns jsonb
language sql stable set search_path = pg_catalog, pg_temp as $$
    select to_jsonb(p_message)
           - array['raw', 'recipe', 'blobs', 'parser', 'language', 'text_pieces', 'html_pieces', 'reply_ranges']
           || jsonb_build_object(
               'text', mailrow.read_pieces(p_message."text", p_message.raw, p_message.text_pieces),
               'html', mailrow.read_pieces(p_message.html, p_message.raw, p_message.html_pieces),
               'reply_text', mailrow.read_ranges(
                   mailrow.read_pieces(p_message."text", p_message.raw, p_message.text_pieces), p_message.reply_ranges))
$$;
comment on function mailrow.for_comparison is 'What a message says, without how it is kept.';

create function mailrow.what_changed(p_old mailrow.messages, p_new mailrow.messages) returns text[]
language sql stable set search_path = pg_catalog, pg_temp as $$
    select coalesce(array_agg(o.key order by o.key), '{}')
    from jsonb_each(mailrow.for_comparison(p_old)) o
    join jsonb_each(mailrow.for_comparison(p_new)) n using (key)
    where o.value is distinct from n.value
$$;
comment on function mailrow.what_changed is 'The columns by which two forms of a message differ for who reads it.';

create function mailrow.reparse(
    p_account bigint, p_message bigint,
    p_raw bytea, p_line_ends text, p_header_size integer, p_parser smallint,
    p_sent_at timestamptz, p_sent_offset smallint,
    p_subject text, p_from_name text, p_from_address text, p_sender_address text,
    p_to_addresses text[], p_cc_addresses text[], p_reply_to text[],
    p_message_id text, p_in_reply_to text, p_references_ids text[],
    p_defects text[], p_field_starts integer[], p_field_values text[],
    p_content_type text, p_text text, p_text_pieces integer[], p_html text, p_html_pieces integer[],
    p_reply_ranges integer[], p_attachment_names text[], p_recipient_names text[], p_auto_submitted text, p_bulk boolean, p_list_id text,
    p_parts jsonb, p_address_list jsonb, p_thread_ids bigint[], p_subject_id bigint, p_cuts integer[], p_contents bytea[]
) returns text[]
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_old    mailrow.messages;
    v_new    mailrow.messages;
    v_parts  record;
    v_thread bigint;
begin
    perform mailrow.insist_on_read_committed();
    select * into v_old from mailrow.messages m where m.account_id = p_account and m.id = p_message for update;
    if not found or v_old.sha256 <> sha256(p_raw) then
        return null;
    end if;
    select * into v_parts from mailrow.divide(p_raw, p_cuts, p_contents);
    if v_parts.blobs is not null then
        perform mailrow.keep_blobs(p_account, v_parts.blobs, v_parts.contents);
    end if;
    v_thread := mailrow.find_thread(p_account, p_thread_ids, p_subject_id, v_old.thread);
    update mailrow.messages m set
        line_ends = p_line_ends, header_size = p_header_size, parser = p_parser, sent_at = p_sent_at, sent_offset = p_sent_offset,
        subject = p_subject, from_name = p_from_name, from_address = p_from_address, sender_address = p_sender_address,
        to_addresses = p_to_addresses, cc_addresses = p_cc_addresses, reply_to = p_reply_to,
        message_id = p_message_id, in_reply_to = p_in_reply_to, references_ids = p_references_ids,
        defects = p_defects, field_starts = p_field_starts, field_values = p_field_values,
        content_type = p_content_type, "text" = p_text, text_pieces = mailrow.move_pieces(v_parts.recipe, p_text_pieces),
        html = p_html, html_pieces = mailrow.move_pieces(v_parts.recipe, p_html_pieces), reply_ranges = p_reply_ranges,
        attachment_names = p_attachment_names, recipient_names = p_recipient_names,
        auto_submitted = p_auto_submitted, bulk = p_bulk, list_id = p_list_id, language = null,
        thread = v_thread,
        recipe = v_parts.recipe, blobs = v_parts.blobs, raw = v_parts.raw
    where m.account_id = p_account and m.id = p_message
    returning m.* into v_new;
    delete from mailrow.message_parts p where p.account_id = p_account and p.message = p_message;
    delete from mailrow.message_addresses l where l.account_id = p_account and l.message = p_message;
    perform mailrow.add_parts(p_account, p_message, p_raw, p_parts, v_parts.recipe, v_parts.blobs);
    perform mailrow.add_addresses(p_account, p_message, p_address_list);
    perform mailrow.drop_blobs(p_account, array(select unnest(v_old.blobs) except select unnest(v_new.blobs)));
    return mailrow.what_changed(v_old, v_new);
end $$;
comment on function mailrow.reparse is
    'Writes what a newer parser found in a message. Returns the columns that changed; NULL when there is no such message with these bytes.';
