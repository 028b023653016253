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
    select a.language into v_language from mailrow.accounts a where a.account_id = v_account;
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

-- Removing. Locks are taken in the order in which a delivery takes them: message,
-- blobs, thread.

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

create function mailrow.remove_message(p_account bigint, p_message bigint) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_blobs  bytea[];
    v_thread bigint;
begin
    delete from mailrow.messages m
    where m.account_id = p_account and m.id = p_message
      and not exists (select from mailrow.deliveries o
                      where o.account_id = m.account_id and o.message = m.id)
    returning m.blobs, m.thread into v_blobs, v_thread;
    if not found then
        return;
    end if;
    delete from mailrow.message_parts p where p.account_id = p_account and p.message = p_message;
    delete from mailrow.message_addresses l where l.account_id = p_account and l.message = p_message;
    perform mailrow.drop_blobs(p_account, v_blobs);
    if not exists (select from mailrow.messages m where m.account_id = p_account and m.thread = v_thread) then
        perform from mailrow.thread_ids t
        where t.account_id = p_account and t.thread = v_thread order by t.id for update;
        delete from mailrow.thread_ids t
        where t.account_id = p_account and t.thread = v_thread
          and not exists (select from mailrow.messages m where m.account_id = p_account and m.thread = v_thread);
    end if;
end $$;
comment on function mailrow.remove_message is
    'Removes a message that no delivery refers to any more, with all that belongs to it alone.';

create or replace function mailrow.delete_mail(p_id bigint) returns boolean
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_delivery mailrow.deliveries;
begin
    perform mailrow.insist_on_read_committed();
    select * into v_delivery from mailrow.deliveries d where d.id = p_id;
    if not found then
        return false;
    end if;
    -- The lock on the message makes a simultaneous delivery of the same content wait or come first.
    perform 1 from mailrow.messages m
    where m.account_id = v_delivery.account_id and m.id = v_delivery.message for update;
    delete from mailrow.deliveries d where d.account_id = v_delivery.account_id and d.id = p_id;
    delete from mailrow.identities k
    where k.account_id = v_delivery.account_id and k.mailbox = v_delivery.mailbox
      and k.recipient = v_delivery.recipient and k.delivery = p_id;
    perform mailrow.remove_message(v_delivery.account_id, v_delivery.message);
    return true;
end $$;
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
