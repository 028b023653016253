-- deliver_all() with less work for a call of few mails.
--
-- A statement within a function costs 20 to 50 us, and a call had sixteen of them: for a
-- single mail four times what its rows cost. Now those are left out that have nothing to
-- do, as for mail without files and mail for INBOX, which is mailbox 0 of every account
-- (deliver_next() says so, too). What is stored is the same.

create or replace function mailrow_delivery.store_messages(
    p_account bigint, p_contents mailrow_delivery.content[], p_raws bytea, p_starts integer[], p_divided mailrow_delivery.divided[],
    p_ids bigint[], p_threads bigint[]
) returns bigint[]
language plpgsql set search_path = pg_catalog, pg_temp set enable_seqscan = off set plan_cache_mode = force_generic_plan as $$
declare
    v_sha256 bytea[];
    v_ids    bigint[] := p_ids;
    v_left   integer[];  -- indexes of those not stored yet; NULL: all
    v_new    bigint[];
    v_stored bigint[] := '{}';
    v        record;
begin
    -- In order of their hashes, as the caller has sorted them, so that two loads cannot deadlock.
    loop
        with new as (
            insert into mailrow.messages (
                account_id, id, sha256, size, line_ends, header_size, parser, sent_at, sent_offset,
                subject, from_name, from_address, sender_address, to_addresses, cc_addresses, reply_to,
                message_id, in_reply_to, references_ids, defects, field_starts, field_values,
                content_type, "text", text_pieces, html, html_pieces, reply_ranges,
                attachment_names, recipient_names, auto_submitted, bulk, list_id, thread, recipe, blobs, raw)
            select p_account, p_ids[c.n], sha256(mailrow.raw_at(p_raws, p_starts, c.n::integer)), p_starts[c.n + 1] - p_starts[c.n], c.line_ends, c.header_size, c.parser, c.sent_at, c.sent_offset,
                   c.subject, c.from_name, c.from_address, c.sender_address, c.to_addresses, c.cc_addresses, c.reply_to,
                   c.message_id, c.in_reply_to, c.references_ids, c.defects, c.field_starts, c.field_values,
                   c.content_type,
                   c."text", case when (p_divided[c.n]).recipe is null then c.text_pieces
                                  else mailrow.move_pieces((p_divided[c.n]).recipe, c.text_pieces) end,
                   c.html, case when (p_divided[c.n]).recipe is null then c.html_pieces
                                else mailrow.move_pieces((p_divided[c.n]).recipe, c.html_pieces) end,
                   c.reply_ranges, c.attachment_names, c.recipient_names, c.auto_submitted, c.bulk, c.list_id,
                   p_threads[c.conversation], (p_divided[c.n]).recipe, (p_divided[c.n]).blobs,
                   coalesce((p_divided[c.n]).raw, mailrow.raw_at(p_raws, p_starts, c.n::integer))
            from unnest(p_contents) with ordinality c (
                place, conversation, line_ends, header_size, parser, sent_at, sent_offset,
                subject, from_name, from_address, sender_address, to_addresses, cc_addresses, reply_to,
                message_id, in_reply_to, references_ids, defects, field_starts, field_values,
                content_type, "text", text_pieces, html, html_pieces, reply_ranges,
                attachment_names, recipient_names, auto_submitted, bulk, list_id, cuts, contents, n)
            where v_left is null or c.n = any (v_left)
            on conflict on constraint messages_sha256_key do nothing
            returning id
        )
        select coalesce(array_agg(n.id), '{}') into v_new from new n;
        v_stored := v_stored || v_new;
        exit when cardinality(v_stored) = cardinality(p_ids);
        v_left := array(select i.n from unnest(p_ids) with ordinality i (id, n) where i.id <> all (v_stored));
        v_sha256 := array(select sha256(mailrow.raw_at(p_raws, p_starts, n)) from generate_series(1, cardinality(p_ids)) n);
        -- The lock keeps delete_mail() from removing it under us; what it has just removed comes anew.
        for v in
            select k.id, l.n
            from (select m.id, l.n from unnest(v_left) l (n)
                  cross join lateral (select m.id from mailrow.messages m
                                      where m.account_id = p_account and m.sha256 = v_sha256[l.n] limit 1) m
                  order by m.id) l
            cross join lateral (select m.id from mailrow.messages m
                                where m.account_id = p_account and m.id = l.id limit 1 for key share) k
        loop
            v_ids[v.n] := v.id;
            v_left := array_remove(v_left, v.n);
        end loop;
        exit when v_left = '{}';
    end loop;
    return v_ids;
end $$;

create or replace function mailrow_delivery.deliver_all(
    p_account text, p_extension_mailbox boolean, p_address text, p_wildcard text, p_base text, p_extension text,
    p_thread_ids bigint[], p_conversations integer[], p_named boolean[], p_first integer[],
    p_arrivals mailrow_delivery.arrival[], p_contents mailrow_delivery.content[],
    p_parts mailrow_delivery.part[], p_addresses mailrow_delivery.address[], p_starts integer[], p_raws bytea,
    out ids bigint[], out redelivered integer[]
) language plpgsql security definer set search_path = pg_catalog, pg_temp set work_mem = '64MB' set jit = off set enable_seqscan = off set plan_cache_mode = force_generic_plan as $$
declare
    v_sequence  bigint[];
    v_new       bigint[];
    v_files     boolean; -- some have contents of their own
    v_divided   mailrow_delivery.divided[];
    v_name      text := p_account;
    v_mailbox   text;
    v_account   bigint;
    v_heard     boolean;
    v_names     text[];
    v_mailboxes bigint[];
    v_threads   bigint[];
    v_ids       bigint[];
    v_blobs     bytea[];
    v_contents  bytea[];
    v           record;
    v_one       mailrow_delivery.divided;
begin
    if current_setting('synchronous_commit') = 'off' then
        perform set_config('synchronous_commit', 'local', true);
    end if;
    -- Every statement costs more than what it does to one mail.
    if cardinality(p_contents) = 1 then
        v_new := array[nextval('mailrow.messages_id_seq')];
        v_files := (p_contents[1]).cuts is not null or (p_contents[1]).contents is not null;
    else
        v_sequence := array(select nextval('mailrow.messages_id_seq') from generate_series(1, cardinality(p_contents)));
        select array_agg(v_sequence[c.place] order by c.n), bool_or(c.cuts is not null or c.contents is not null) into v_new, v_files
        from (select (u.c).place, (u.c).cuts, (u.c).contents, u.n
              from (select unnest(p_contents) as c, generate_series(1, cardinality(p_contents)) as n) u) c;
    end if;
    if v_files then
        -- Before any lock: it takes long.
        -- From index 1, whatever is assigned first: unnest() counts from there.
        v_divided := array_fill(null::mailrow_delivery.divided, array[cardinality(v_new)]);
        for v in
            select c.n, c.cuts, c.contents
            from (select (u.c).cuts, (u.c).contents, u.n
                  from (select unnest(p_contents) as c, generate_series(1, cardinality(p_contents)) as n) u) c
            where c.cuts is not null or c.contents is not null
        loop
            v_one := mailrow.divide(mailrow.raw_at(p_raws, p_starts, v.n), v.cuts, v.contents);
            v_divided[v.n] := v_one;
        end loop;
    end if;

    -- Locks no row, but the table against delete_account(), which waits until we are done.
    lock table mailrow.accounts in row share mode;
    if p_account is null then
        select r.account, nullif(replace(r.mailbox, '*', lower(coalesce(p_extension, ''))), '') into v_name, v_mailbox
        from mailrow.routes r
        where r.pattern in (p_address, p_wildcard, p_base, substring(p_base from '@[^@]*$'), '*')
        order by case r.pattern when p_address then 1 when p_wildcard then 2 when p_base then 3 when '*' then 5 else 4 end
        limit 1;
    end if;
    select a.account_id, a.notify_until > now() into v_account, v_heard
    from mailrow.accounts a where a.name = coalesce(v_name, p_base);
    if not found then
        select p.account, p.mailbox, p.heard into v_account, v_mailbox, v_heard
        from mailrow_delivery.place_of(p_account, p_address, p_wildcard, p_base, p_extension) p;
    end if;
    v_names := array(
        select case lower(m.name) when 'inbox' then 'INBOX' else m.name end
        from (select (u.a).mailbox from (select unnest(p_arrivals) as a) u) a
        cross join lateral (select coalesce(case when p_extension_mailbox then lower(p_extension) end,
                                            a.mailbox, v_mailbox, 'INBOX')) m (name));
    if 'INBOX' = all (v_names) then
        v_mailboxes := array_fill(0::bigint, array[cardinality(v_names)]);
    else
        v_mailboxes := mailrow_delivery.mailboxes_of(v_account, v_names);
    end if;
    v_threads := mailrow.find_threads(v_account, p_thread_ids, p_conversations, p_named,
                                      array(select v_new[f] from unnest(p_first) f));
    v_ids := mailrow_delivery.store_messages(v_account, p_contents, p_raws, p_starts, v_divided, v_new, v_threads);

    if v_files then
        select array_agg(b.sha256), array_agg((v_divided[d.n]).contents[b.n]) into v_blobs, v_contents
        from generate_subscripts(v_divided, 1) d (n), unnest((v_divided[d.n]).blobs) with ordinality b (sha256, n)
        where v_ids[d.n] = v_new[d.n];
        if v_blobs is not null then
            perform mailrow.keep_blobs(v_account, v_blobs, v_contents);
        end if;
    end if;
    insert into mailrow.message_parts (
        account_id, message, "position", section, content_type, charset, disposition, filename, content_id,
        encoding, size, header_start, body_start, body_end, attachment, kept, sha256)
    select v_account, v_new[p.of], p."position", p.section, p.content_type, p.charset, p.disposition, p.filename, p.content_id,
           p.encoding, p.size, p.header_start, p.body_start, p.body_end, p.attachment,
           case when p.blob is null then p.kept else 'blob' end,
           case when p.blob is not null then (v_divided[p.of]).blobs[p.blob]
                when p.attachment then mailrow.hash_in_raw(p_raws, p_starts[p.of] + p.body_start, p_starts[p.of] + p.body_end, p.kept) end
    from (select u.*, mailrow.blob_of(u.cut, u.content, (v_divided[u.of]).recipe) as blob
          from unnest(p_parts) u where v_ids[u.of] = v_new[u.of]) p;
    insert into mailrow.message_addresses (account_id, message, "position", field, address, name)
    select v_account, v_new[u.of], u."position", u.field, u.address, u.name
    from unnest(p_addresses) u where v_ids[u.of] = v_new[u.of];

    with arrivals as (
        select a.*, v_ids[a.of] as message, v_mailboxes[a.n] as mailbox_id
        from unnest(p_arrivals) with ordinality a (
            of, mailbox, again, source, sender, recipient, original_recipient, extension,
            client_address, client_helo, client_name, client_protocol, sasl_username, queue_id, received_at, flags, defects, n)
    ), stored as (
        insert into mailrow.deliveries as d (
            account_id, message, mailbox, received_at, source, sender, recipient, original_recipient, extension,
            client_address, client_helo, client_name, client_protocol, sasl_username, queue_id,
            flags, defects, redelivered)
        select v_account, a.message, a.mailbox_id, coalesce(a.received_at, now()), a.source, a.sender, a.recipient,
               a.original_recipient, a.extension,
               a.client_address, a.client_helo, a.client_name, a.client_protocol, a.sasl_username, a.queue_id,
               coalesce(a.flags, '{}'), a.defects, a.again
        from arrivals a order by a.message, a.mailbox_id, a.recipient
        on conflict on constraint deliveries_arrival_key do update set redelivered = d.redelivered + 1 + excluded.redelivered
        returning d.id, d.message, d.mailbox, d.recipient, d.redelivered
    )
    select array_agg(s.id order by a.n), array_agg(s.redelivered - a.again order by a.n) into ids, redelivered
    from arrivals a
    join stored s on s.message = a.message and s.mailbox = a.mailbox_id and s.recipient = a.recipient;
    if v_heard then
        perform pg_notify('mailrow', i::text) from unnest(ids) i;
    end if;
end $$;

-- deliver_next() is deliver_one() in PL/pgSQL still, but for two things: the table is
-- locked by a command, and the threads are looked up once.

create or replace function mailrow_delivery.deliver_next(
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
) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_column
declare
    v_delivery bigint;
begin
    if current_setting('synchronous_commit') = 'off' then
        perform set_config('synchronous_commit', 'local', true);
    end if;
    -- Locks no row, but the table against delete_account(), which waits until we are done.
    lock table mailrow.accounts in row share mode;
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
               t.thread, t.ids, case when t.thread is null then 0 when t.thread = t.last_thread then 1 else 2 end as threads
        from place p
        cross join lateral (select min(t.thread) as thread, max(t.thread) as last_thread, count(*) as ids from mailrow.thread_ids t
                            where t.account_id = p.account_id and t.id = any (p_thread_ids)) t
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
    returning id into v_delivery;
    return v_delivery;
end $$;

-- Attachments. Most mails that have any have one, which needs no arrays and no sorting: what
-- goes through them is copied each time.

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
    elsif cardinality(p_recipe) = 5 then
        return substring(v_raw for p_recipe[1]) || mailrow.wrap_base64(p_contents[p_recipe[3]], p_recipe[4], p_recipe[5])
               || substring(v_raw from p_recipe[1] + 1);
    end if;
    for i in 1 .. cardinality(p_recipe) by 5 loop
        v_upto := p_recipe[i] - v_taken + 1;
        -- One || at a time: two would copy the array.
        v_pieces := v_pieces || substring(v_raw from v_from for v_upto - v_from);
        v_pieces := v_pieces || mailrow.wrap_base64(p_contents[p_recipe[i + 2]], p_recipe[i + 3], p_recipe[i + 4]);
        v_from := v_upto;
        v_taken := v_taken + p_recipe[i + 1];
    end loop;
    -- unnest() gives them in their order.
    return (select string_agg(piece, ''::bytea) from unnest(v_pieces) piece) || substring(v_raw from v_from);
end $$;

create or replace function mailrow.take_out(
    p_raw bytea, p_cuts integer[], out raw bytea, out recipe integer[], out contents bytea[]
) language plpgsql immutable parallel safe set search_path = pg_catalog, pg_temp as $$
declare
    v_pieces  bytea[] := '{}';
    v_from    integer := 0;
    v_blob    integer := 0;
    v_cut     bytea;
    v_content bytea;
begin
    recipe := '{}';
    contents := '{}';
    for i in 1 .. cardinality(p_cuts) by 4 loop
        v_blob := v_blob + 1;
        v_cut := substring(p_raw from p_cuts[i] + 1 for p_cuts[i + 1] - p_cuts[i]);
        v_content := decode(convert_from(v_cut, 'UTF8'), 'base64');
        -- Between the cuts, put_back() has the pieces as they are here; and substring() refuses one
        -- of less than nothing, where a cut begins before the one before it has ended.
        if length(v_cut) <> p_cuts[i + 1] - p_cuts[i]
           or mailrow.wrap_base64(v_content, p_cuts[i + 2], p_cuts[i + 3]) is distinct from v_cut then
            raise exception 'mailrow: what was taken out of a mail does not give it back' using errcode = 'data_exception';
        end if;
        contents := contents || v_content;
        recipe := recipe || array[p_cuts[i], p_cuts[i + 1] - p_cuts[i], v_blob, p_cuts[i + 2], p_cuts[i + 3]];
        v_pieces := v_pieces || substring(p_raw from v_from + 1 for p_cuts[i] - v_from);
        v_from := p_cuts[i + 1];
    end loop;
    raw := (select string_agg(piece, ''::bytea) from unnest(v_pieces) piece) || substring(p_raw from v_from + 1);
exception when others then
    -- Whatever goes wrong here, the mail is stored: whole.
    raw := p_raw;
    recipe := null;
    contents := '{}';
end $$;

create or replace function mailrow.divide(
    p_raw bytea, p_cuts integer[], p_contents bytea[],
    out raw bytea, out recipe integer[], out contents bytea[], out blobs bytea[]
) language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
    raw := p_raw;
    if p_cuts is not null then
        select t.raw, t.recipe, t.contents into raw, recipe, contents from mailrow.take_out(p_raw, p_cuts) t;
    end if;
    if p_contents is not null then
        contents := contents || p_contents;
    end if;
    if cardinality(contents) = 1 then
        blobs := array[sha256(contents[1])];
    else
        blobs := (select array_agg(sha256(c)) from unnest(contents) c);
    end if;
end $$;

create or replace function mailrow.keep_blobs(p_account bigint, p_sha256 bytea[], p_contents bytea[]) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_distinct constant bigint := (select count(distinct s) from unnest(p_sha256) s);
    v_kept     bigint;
begin
    -- In order of their hashes, so that two deliveries cannot deadlock. The locks
    -- keep delete_mail() from removing what is there; what it has just removed comes anew.
    loop
        insert into mailrow.blobs (account_id, sha256, content)
        select p_account, b.s, p_contents[b.n]
        from (select distinct on (s) s, n from unnest(p_sha256) with ordinality as t (s, n) order by s) b
        on conflict on constraint blobs_pkey do nothing;
        select count(*) into v_kept
        from (select from mailrow.blobs b
              where b.account_id = p_account and b.sha256 = any (p_sha256) order by b.sha256 for key share) k;
        exit when v_kept = v_distinct;
    end loop;
end $$;

-- A hash index keeps equal values in a chain of pages, from whose beginning each new one
-- looks for room: the hundred-thousandth mail of one sender, or with one logo, costs 20 us
-- more than the first, and so on. A B-tree finds the end at once, but takes no value of
-- more than 2704 bytes, and the From of a mail may be of any length: no index may keep a
-- mail out. SP-GiST takes all, serves = in every collation, and like 'noreply@%' as well.
drop index mailrow.messages_by_from;
create index messages_by_from on mailrow.messages using spgist (from_address);
drop index mailrow.message_parts_by_sha256;
create index message_parts_by_sha256 on mailrow.message_parts (sha256) where sha256 is not null;
