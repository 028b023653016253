-- Delivery with bodies. The layers are those of before: deliver() finds accounts
-- by name, deliver_to() writes one account's rows, deliver_one() is the common
-- case in one statement.

drop function mailrow_delivery.deliver;
drop function mailrow_delivery.deliver_to;
drop function mailrow_delivery.deliver_one;

-- A connection keeps its plans, and one made when there was no mail yet would read
-- whole tables for ever: hence enable_seqscan.

create function mailrow.join_threads(p_account bigint, p_ids bigint[]) returns bigint
language plpgsql set search_path = pg_catalog, pg_temp set enable_seqscan = off as $$
declare
    v_threads bigint[];
begin
    loop
        select array_agg(distinct t.thread order by t.thread) into v_threads
        from mailrow.thread_ids t
        where t.account_id = p_account and t.id = any (p_ids);
        exit when coalesce(cardinality(v_threads), 0) <> 1;
        -- The lock keeps others from joining this thread to an older one until our message is there.
        perform from mailrow.thread_ids t
        where t.account_id = p_account and t.id = any (p_ids) and t.thread = v_threads[1] limit 1 for share;
        if found then
            return v_threads[1];
        end if;
    end loop;
    if v_threads is null then
        return null;
    end if;
    -- Joining is for one at a time in an account, who then looks again.
    perform from mailrow.accounts a where a.account_id = p_account for no key update;
    select array_agg(distinct t.thread order by t.thread) into v_threads
    from mailrow.thread_ids t
    where t.account_id = p_account and t.id = any (p_ids);
    update mailrow.thread_ids t set thread = v_threads[1]
    where t.account_id = p_account and t.thread = any (v_threads[2:]);
    update mailrow.messages m set thread = v_threads[1]
    where m.account_id = p_account and m.thread = any (v_threads[2:]);
    return v_threads[1];
end $$;
comment on function mailrow.join_threads is
    'Makes one thread of all that the ids belong to, the oldest of them, and returns it; NULL when none of them is known.';

create function mailrow.find_thread(p_account bigint, p_ids bigint[], p_subject_id bigint, p_new bigint) returns bigint
language plpgsql set search_path = pg_catalog, pg_temp set enable_seqscan = off as $$
declare
    v_added integer;
begin
    -- Every delivery brings its ids first and in their order, so that two of one
    -- thread wait for each other here, and never in a circle.
    insert into mailrow.thread_ids (account_id, id, thread)
    select p_account, i, coalesce((select min(t.thread) from mailrow.thread_ids t
                                   where t.account_id = p_account and t.id = any (p_ids)), p_new)
    from unnest(p_ids || p_subject_id) i where i is not null order by i
    on conflict on constraint thread_ids_pkey do nothing;
    get diagnostics v_added = row_count;
    if v_added = cardinality(p_ids) + num_nonnulls(p_subject_id) then
        return p_new;
    end if;
    return coalesce(mailrow.join_threads(p_account, p_ids), p_new);
end $$;
comment on function mailrow.find_thread is
    'The thread of a message with these ids: that of a message it names or that names it, else a new one.';

create function mailrow.move_pieces(p_recipe integer[], p_pieces integer[]) returns integer[]
language sql immutable parallel safe set search_path = pg_catalog, pg_temp as $$
    select case when p_recipe is null then p_pieces else (
        select array_agg(case n % 3 when 0 then piece else mailrow.place_in_raw(p_recipe, piece) end order by n)
        from unnest(p_pieces) with ordinality as t (piece, n)) end
$$;
comment on function mailrow.move_pieces is
    'The pieces of a mail as received, where they are in messages.raw.';

create function mailrow.divide(
    p_raw bytea, p_cuts integer[], p_contents bytea[],
    out raw bytea, out recipe integer[], out contents bytea[], out blobs bytea[]
) language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
    raw := p_raw;
    if p_cuts is not null then
        select t.raw, t.recipe, t.contents into raw, recipe, contents from mailrow.take_out(p_raw, p_cuts) t;
    end if;
    contents := contents || p_contents;
    blobs := (select array_agg(sha256(c) order by n) from unnest(contents) with ordinality as t (c, n));
end $$;
comment on function mailrow.divide is
    'Divides a mail into what messages.raw keeps and the contents that go to blobs: those cut out of it, then those given.';

create function mailrow.keep_blobs(p_account bigint, p_sha256 bytea[], p_contents bytea[]) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_distinct constant bigint := (select count(distinct s) from unnest(p_sha256) s);
    v_kept     bigint;
begin
    -- In order of their hashes, so that two deliveries cannot deadlock. The locks
    -- keep delete_mail() from removing what is there; what it has just removed comes anew.
    loop
        insert into mailrow.blobs (account_id, sha256, content)
        select distinct on (s) p_account, s, p_contents[n] from unnest(p_sha256) with ordinality as t (s, n) order by s
        on conflict on constraint blobs_pkey do nothing;
        select count(*) into v_kept
        from (select from mailrow.blobs b
              where b.account_id = p_account and b.sha256 = any (p_sha256) order by b.sha256 for key share) k;
        exit when v_kept = v_distinct;
    end loop;
end $$;
comment on function mailrow.keep_blobs is
    'Makes sure that an account has these contents, and that they stay until the transaction ends.';

create function mailrow.add_parts(
    p_account bigint, p_message bigint, p_raw bytea, p_parts jsonb, p_recipe integer[], p_blobs bytea[]
) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    insert into mailrow.message_parts (
        account_id, message, "position", section, content_type, charset, disposition, filename, content_id,
        encoding, size, header_start, body_start, body_end, attachment, kept, sha256)
    select p_account, p_message, p."position", p.section, p.content_type, p.charset, p.disposition, p.filename, p.content_id,
           p.encoding, p.size, p.header_start, p.body_start, p.body_end, p.attachment,
           case when p.blob is null then p.kept else 'blob' end,
           case when p.blob is not null then p_blobs[p.blob]
                when p.attachment then sha256(mailrow.undo_encoding(
                    substring(p_raw from p.body_start + 1 for p.body_end - p.body_start),
                    case p.kept when 'quoted-printable' then 1 when 'base64' then 2 else 0 end)) end
    from (select u.*,
                 -- Contents that were cut out come first in blobs, if the mail could be divided.
                 case when u.cut is not null and p_recipe is not null then u.cut
                      when u.content is not null then u.content + coalesce(cardinality(p_recipe) / 5, 0) end as blob
          from jsonb_to_recordset(p_parts) as u (
              "position" smallint, section text, content_type text, charset text, disposition text, filename text,
              content_id text, encoding text, size bigint, header_start integer, body_start integer, body_end integer,
              attachment boolean, kept text, cut integer, content integer)) p;
end $$;
comment on function mailrow.add_parts is
    'Adds the parts of a message as the parser gives them: cut and content say which of the contents cut out of the mail, or given beside it, is theirs.';

create function mailrow.add_addresses(p_account bigint, p_message bigint, p_address_list jsonb) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    insert into mailrow.message_addresses (account_id, message, "position", field, address, name)
    select p_account, p_message, u."position"::smallint, u.address ->> 0, u.address ->> 1, u.address ->> 2
    from jsonb_array_elements(p_address_list) with ordinality as u (address, "position");
end $$;
comment on function mailrow.add_addresses is
    'Adds the addresses of a message as the parser gives them: field, address and name each.';

create function mailrow_delivery.store_message(
    p_account bigint,
    p_raw bytea, p_line_ends text, p_header_size integer, p_parser smallint,
    p_sent_at timestamptz, p_sent_offset smallint,
    p_subject text, p_from_name text, p_from_address text, p_sender_address text,
    p_to_addresses text[], p_cc_addresses text[], p_reply_to text[],
    p_message_id text, p_in_reply_to text, p_references_ids text[],
    p_defects text[], p_field_starts integer[], p_field_values text[],
    p_content_type text, p_text text, p_text_pieces integer[], p_html text, p_html_pieces integer[],
    p_reply_ranges integer[], p_attachment_names text[], p_recipient_names text[], p_auto_submitted text, p_bulk boolean, p_list_id text,
    p_parts jsonb, p_address_list jsonb, p_thread_ids bigint[], p_subject_id bigint, p_cuts integer[], p_contents bytea[]
) returns bigint
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_sha256   constant bytea := sha256(p_raw);
    v_new      constant bigint := nextval('mailrow.messages_id_seq');
    v_id       bigint;
    v_thread   bigint;
    v_raw      bytea;  -- without what the recipe puts back; NULL where raw stays whole
    v_recipe   integer[];
    v_contents bytea[];
    v_blobs    bytea[];
begin
    if p_cuts is not null or p_contents is not null then
        select d.raw, d.recipe, d.contents, d.blobs into v_raw, v_recipe, v_contents, v_blobs
        from mailrow.divide(p_raw, p_cuts, p_contents) d;
    end if;
    v_thread := mailrow.find_thread(p_account, p_thread_ids, p_subject_id, v_new);
    loop
        insert into mailrow.messages (
            account_id, id, sha256, size, line_ends, header_size, parser, sent_at, sent_offset,
            subject, from_name, from_address, sender_address, to_addresses, cc_addresses, reply_to,
            message_id, in_reply_to, references_ids, defects, field_starts, field_values,
            content_type, "text", text_pieces, html, html_pieces, reply_ranges,
            attachment_names, recipient_names, auto_submitted, bulk, list_id, thread, recipe, blobs, raw)
        values (
            p_account, v_new, v_sha256, length(p_raw), p_line_ends, p_header_size, p_parser, p_sent_at, p_sent_offset,
            p_subject, p_from_name, p_from_address, p_sender_address, p_to_addresses, p_cc_addresses, p_reply_to,
            p_message_id, p_in_reply_to, p_references_ids, p_defects, p_field_starts, p_field_values,
            p_content_type,
            p_text, case when v_recipe is null then p_text_pieces else mailrow.move_pieces(v_recipe, p_text_pieces) end,
            p_html, case when v_recipe is null then p_html_pieces else mailrow.move_pieces(v_recipe, p_html_pieces) end,
            p_reply_ranges,
            p_attachment_names, p_recipient_names, p_auto_submitted, p_bulk, p_list_id,
            v_thread, v_recipe, v_blobs, coalesce(v_raw, p_raw))
        on conflict on constraint messages_sha256_key do nothing
        returning id into v_id;
        exit when found;
        -- The lock keeps delete_mail() from removing it under us.
        select m.id into v_id from mailrow.messages m
        where m.account_id = p_account and m.sha256 = v_sha256 for key share;
        if found then
            return v_id;
        end if;
    end loop;

    if v_blobs is not null then
        perform mailrow.keep_blobs(p_account, v_blobs, v_contents);
    end if;
    perform mailrow.add_parts(p_account, v_id, p_raw, p_parts, v_recipe, v_blobs);
    perform mailrow.add_addresses(p_account, v_id, p_address_list);
    return v_id;
end $$;
comment on function mailrow_delivery.store_message is
    'Stores one content in an account, unless it is there, and returns its id.';

create function mailrow_delivery.deliver_to(
    p_account bigint, p_mailboxes text[],
    p_raw bytea, p_line_ends text, p_header_size integer, p_parser smallint,
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
    p_envelope_defects text[], p_identity bytea,
    out ids bigint[], out outcomes text[]
) language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_message bigint;
    v_mailbox bigint;
    v_id      bigint;
    v_again   integer;
begin
    <<recipient>>
    for i in 1 .. cardinality(p_recipients) loop
        select b.mailbox_id into v_mailbox from mailrow.mailboxes b
        where b.account_id = p_account and b.name = p_mailboxes[i];
        if not found then
            insert into mailrow.mailboxes (account_id, name) values (p_account, p_mailboxes[i])
            on conflict on constraint mailboxes_name_key do nothing;
            select b.mailbox_id into strict v_mailbox from mailrow.mailboxes b
            where b.account_id = p_account and b.name = p_mailboxes[i];
        end if;

        -- Bytes that differ from attempt to attempt cannot tell a second
        -- attempt by themselves; their identity can.
        if p_identity is not null then
            update mailrow.deliveries d set redelivered = d.redelivered + 1
            from mailrow.identities k
            where k.account_id = p_account and k.mailbox = v_mailbox
              and k.recipient = p_recipients[i] and k.identity = p_identity
              and d.account_id = k.account_id and d.id = k.delivery
            returning d.id into v_id;
            if found then
                ids := ids || v_id;
                outcomes := outcomes || text 'redelivered';
                continue recipient;
            end if;
        end if;

        if v_message is null then
            v_message := mailrow_delivery.store_message(
                p_account, p_raw, p_line_ends, p_header_size, p_parser, p_sent_at, p_sent_offset,
                p_subject, p_from_name, p_from_address, p_sender_address, p_to_addresses, p_cc_addresses, p_reply_to,
                p_message_id, p_in_reply_to, p_references_ids, p_defects, p_field_starts, p_field_values,
                p_content_type, p_text, p_text_pieces, p_html, p_html_pieces,
                p_reply_ranges, p_attachment_names, p_recipient_names, p_auto_submitted, p_bulk, p_list_id,
                p_parts, p_address_list, p_thread_ids, p_subject_id, p_cuts, p_contents);
        end if;

        insert into mailrow.deliveries as d (
            account_id, message, mailbox, received_at, source, sender, recipient, original_recipient, extension,
            client_address, client_helo, client_name, client_protocol, sasl_username, queue_id,
            flags, defects)
        values (
            p_account, v_message, v_mailbox, coalesce(p_received_at, now()), p_source, p_sender, p_recipients[i],
            p_original_recipients[i], p_extensions[i],
            p_client_address, p_client_helo, p_client_name, p_client_protocol, p_sasl_username, p_queue_id,
            coalesce(p_flags, '{}'), p_envelope_defects)
        on conflict on constraint deliveries_arrival_key do update set redelivered = d.redelivered + 1
        returning d.id, d.redelivered into v_id, v_again;
        if p_identity is not null then
            -- Of two attempts at once, the second fails here and comes again.
            insert into mailrow.identities (account_id, mailbox, recipient, identity, delivery)
            values (p_account, v_mailbox, p_recipients[i], p_identity, v_id);
        end if;
        ids := ids || v_id;
        outcomes := outcomes || case when v_again = 0 then text 'stored' else 'redelivered' end;
    end loop;
end $$;
comment on function mailrow_delivery.deliver_to is
    'Stores one mail for recipients of one account: the message once, a delivery row each. Called by deliver().';

create function mailrow_delivery.deliver(
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
    v_heard     boolean;
    v_notify    boolean := false;
begin
    if p_schema <> 2 then
        raise exception 'mailrow: this program wants schema version %, the database has %', p_schema, 2
            using errcode = 'MR001', hint = 'Run mailrow migrate, or install the mailrow-deliver of this version.';
    end if;
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
        if not found and not (p_reject_unknown and v_route is null) then
            insert into mailrow.accounts (name) values (v_name) on conflict on constraint accounts_name_key do nothing
            returning account_id into v_account;
            if found then
                insert into mailrow.mailboxes (account_id, mailbox_id, name) values (v_account, 0, 'INBOX');
            else
                select a.account_id into strict v_account from mailrow.accounts a where a.name = v_name;
            end if;
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
comment on function mailrow_delivery.deliver is
    'Stores one mail for all its recipients in one transaction. Per recipient: the id of its row in view mail, and stored, redelivered (was there already) or unknown (refused, nothing stored for it).';

create function mailrow_delivery.leave_to_deliver() returns boolean
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    raise exception 'mailrow: another delivery has brought a message of the same thread' using errcode = 'MR002';
end $$;
comment on function mailrow_delivery.leave_to_deliver is
    'Fails with MR002: nothing is stored, and deliver() is to be called.';

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
), place as (
    select a.account_id from mailrow.accounts a
    where p_schema = 2 and a.name = coalesce(p_account, (select account from route), p_base)
      and lower(coalesce(case when p_extension_mailbox then lower(nullif(p_extension, '')) end,
                         p_mailbox, nullif((select mailbox from route), ''), 'INBOX')) = 'inbox'
      and (a.notify_until > now()) is not true
), known as (
    select p.account_id, nextval('mailrow.messages_id_seq') as id,
           (select t.thread from mailrow.thread_ids t
            where t.account_id = p.account_id and t.id = any (p_thread_ids) order by t.thread limit 1 for share) as thread,
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
          where k.threads <= 1
            and case when k.ids + (select count(*) from ids where ids.id = any (p_thread_ids)) = cardinality(p_thread_ids) then true
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
    execute 'create function mailrow_delivery.deliver_one(' || v_parameters || ') returns bigint
language sql security definer begin atomic
    select set_config(''synchronous_commit'', ''local'', true) where current_setting(''synchronous_commit'') = ''off'';
    ' || v_statement || ';
end';
    execute 'create function mailrow_delivery.deliver_next(' || v_parameters || ') returns bigint
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
comment on function mailrow_delivery.deliver_one is
    'The common case in one statement, for a connection that delivers once: one recipient with an account, its INBOX, content that is new and has no attachments. Its names were resolved when it was made, so it needs no search_path. Returns NULL, having done nothing, in every other case: then deliver() is to be called.';
comment on function mailrow_delivery.deliver_next is
    'As deliver_one(), for a connection that goes on delivering.';
