-- Mail that comes together: deliver_all() stores many mails for one account by one
-- statement each for all of them, and what it stores is what deliver() would have
-- stored of one after the other.

create type mailrow_delivery.content as (
    line_ends text, header_size integer, parser smallint,
    sent_at timestamptz, sent_offset smallint,
    subject text, from_name text, from_address text, sender_address text,
    to_addresses text[], cc_addresses text[], reply_to text[],
    message_id text, in_reply_to text, references_ids text[],
    defects text[], field_starts integer[], field_values text[],
    content_type text, "text" text, text_pieces integer[], html text, html_pieces integer[],
    reply_ranges integer[], attachment_names text[], recipient_names text[], auto_submitted text, bulk boolean, list_id text,
    parts jsonb, address_list jsonb, cuts integer[], contents bytea[], place integer, conversation integer, raw bytea
);
comment on type mailrow_delivery.content is
    'One distinct mail of deliver_all() as the parser gives it. Its place is that among those of the call in order of arrival; its conversation is an index of p_conversations.';

create type mailrow_delivery.arrival as (
    mailbox text, content integer, again integer,
    source text, sender text, recipient text, original_recipient text, extension text,
    client_address inet, client_helo text, client_name text, client_protocol text,
    sasl_username text, queue_id text, received_at timestamptz, flags text[], defects text[]
);
comment on type mailrow_delivery.arrival is
    'One arrival of deliver_all(): where, the place of its content, and how often it came again in the same call.';

create type mailrow_delivery.divided as (place integer, raw bytea, recipe integer[], contents bytea[], blobs bytea[]);
comment on type mailrow_delivery.divided is
    'What divide() made of one mail of deliver_all().';

-- The rules of add_parts() and add_addresses() as queries, which can be inlined and
-- so serve one mail and many. They set no search_path for that, and name every schema.

create function mailrow.part_rows(p_account bigint, p_message bigint, p_raw bytea, p_parts jsonb, p_recipe integer[], p_blobs bytea[])
returns table (
    account_id bigint, message bigint, "position" smallint, section text, content_type text, charset text, disposition text,
    filename text, content_id text, encoding text, size bigint, header_start integer, body_start integer, body_end integer,
    attachment boolean, kept text, sha256 bytea
) language sql stable parallel safe as $$
    select p_account, p_message, p."position", p.section, p.content_type, p.charset, p.disposition, p.filename, p.content_id,
           p.encoding, p.size, p.header_start, p.body_start, p.body_end, p.attachment,
           case when p.blob is null then p.kept else 'blob' end,
           case when p.blob is not null then p_blobs[p.blob]
                when p.attachment then pg_catalog.sha256(mailrow.undo_encoding(
                    pg_catalog.substring(p_raw, p.body_start operator(pg_catalog.+) 1, p.body_end operator(pg_catalog.-) p.body_start),
                    case when p.kept operator(pg_catalog.=) 'quoted-printable' then 1
                         when p.kept operator(pg_catalog.=) 'base64' then 2 else 0 end)) end
    from (select u.*,
                 -- Contents that were cut out come first in blobs, if the mail could be divided.
                 case when u.cut is not null and p_recipe is not null then u.cut
                      when u.content is not null
                          then u.content operator(pg_catalog.+) coalesce(pg_catalog.cardinality(p_recipe) operator(pg_catalog./) 5, 0) end as blob
          from pg_catalog.jsonb_to_recordset(p_parts) as u (
              "position" smallint, section text, content_type text, charset text, disposition text, filename text,
              content_id text, encoding text, size bigint, header_start integer, body_start integer, body_end integer,
              attachment boolean, kept text, cut integer, content integer)) p
$$;
comment on function mailrow.part_rows is
    'The rows of message_parts that the parser''s parts make: cut and content say which of the contents cut out of the mail, or given beside it, is theirs.';

create function mailrow.address_rows(p_account bigint, p_message bigint, p_address_list jsonb)
returns table (account_id bigint, message bigint, "position" smallint, field text, address text, name text)
language sql stable parallel safe as $$
    select p_account, p_message, u."position"::smallint, u.address operator(pg_catalog.->>) 0,
           u.address operator(pg_catalog.->>) 1, u.address operator(pg_catalog.->>) 2
    from pg_catalog.jsonb_array_elements(p_address_list) with ordinality as u (address, "position")
$$;
comment on function mailrow.address_rows is
    'The rows of message_addresses that the parser''s addresses make: field, address and name each.';

create or replace function mailrow.add_parts(
    p_account bigint, p_message bigint, p_raw bytea, p_parts jsonb, p_recipe integer[], p_blobs bytea[]
) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    insert into mailrow.message_parts (
        account_id, message, "position", section, content_type, charset, disposition, filename, content_id,
        encoding, size, header_start, body_start, body_end, attachment, kept, sha256)
    select * from mailrow.part_rows(p_account, p_message, p_raw, p_parts, p_recipe, p_blobs);
end $$;
comment on function mailrow.add_parts is 'Adds the parts of a message as the parser gives them.';

create or replace function mailrow.add_addresses(p_account bigint, p_message bigint, p_address_list jsonb) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    insert into mailrow.message_addresses (account_id, message, "position", field, address, name)
    select * from mailrow.address_rows(p_account, p_message, p_address_list);
end $$;
comment on function mailrow.add_addresses is 'Adds the addresses of a message as the parser gives them.';

create function mailrow.join_all_threads(
    p_account bigint, p_ids bigint[], p_conversations integer[], p_named boolean[], p_several integer[], p_threads bigint[]
) returns bigint[]
language plpgsql set search_path = pg_catalog, pg_temp set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
declare
    v_threads bigint[] := p_threads;
    v         record;
begin
    for v in
        select i.conversation, array_agg(i.id) as ids from unnest(p_ids, p_conversations, p_named) i (id, conversation, named)
        where i.named and i.conversation = any (p_several) group by i.conversation order by i.conversation
    loop
        perform mailrow.join_threads(p_account, v.ids);
    end loop;
    for v in
        select i.conversation, min(t.thread) as thread
        from unnest(p_ids, p_conversations, p_named) i (id, conversation, named)
        join mailrow.thread_ids t on t.account_id = p_account and t.id = i.id
        where i.named group by i.conversation
    loop
        v_threads[v.conversation] := v.thread;
    end loop;
    return v_threads;
end $$;
comment on function mailrow.join_all_threads is
    'join_threads() for each of several conversations. Returns the threads of all conversations after it.';

create function mailrow.find_threads(
    p_account bigint, p_ids bigint[], p_conversations integer[], p_named boolean[], p_new bigint[]
) returns bigint[]
language plpgsql set search_path = pg_catalog, pg_temp set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
declare
    v_threads bigint[] := p_new;
    v_known   bigint;            -- ids that were there before
    v_added   bigint;
    v_of      integer[] := '{}'; -- conversations with a known id, and that id
    v_ids     bigint[] := '{}';
    v_several integer[] := '{}'; -- conversations that lead to more than one thread
    v         record;
begin
    select count(*) into v_known
    from unnest(p_ids) i (id) join mailrow.thread_ids t on t.account_id = p_account and t.id = i.id;
    if v_known > 0 then
        for v in
            select i.conversation, min(t.id) as id, min(t.thread) as thread, max(t.thread) as last
            from unnest(p_ids, p_conversations, p_named) i (id, conversation, named)
            join mailrow.thread_ids t on t.account_id = p_account and t.id = i.id
            where i.named group by i.conversation
        loop
            v_threads[v.conversation] := v.thread;
            v_of := v_of || v.conversation;
            v_ids := v_ids || v.id;
            if v.thread <> v.last then
                v_several := v_several || v.conversation;
            end if;
        end loop;
    end if;

    -- As find_thread(): first the ids, in their order.
    insert into mailrow.thread_ids (account_id, id, thread)
    select p_account, i.id, v_threads[i.conversation] from unnest(p_ids, p_conversations) i (id, conversation) order by i.id
    on conflict on constraint thread_ids_pkey do nothing;
    get diagnostics v_added = row_count;
    if v_known + v_added <> cardinality(p_ids) then
        -- Others have brought some of them since: any conversation may go on another thread.
        v_several := array(select distinct c from unnest(p_conversations, p_named) i (c, named) where named order by c);
    elsif cardinality(v_ids) = 0 then
        return p_new;
    end if;

    if cardinality(v_several) > 0 then
        v_threads := mailrow.join_all_threads(p_account, p_ids, p_conversations, p_named, v_several, v_threads);
        v_ids := array(select k.id from unnest(v_ids, v_of) k (id, conversation) where k.conversation <> all (v_several));
    end if;
    -- A lock on a row that others see keeps them from joining its thread to an older
    -- one until our messages are there.
    v_several := array(
        select l.conversation
        from (select t.id, t.thread from mailrow.thread_ids t
              where t.account_id = p_account and t.id = any (v_ids) order by t.thread, t.id for share) t
        join unnest(p_ids, p_conversations) l (id, conversation) on l.id = t.id
        where t.thread <> v_threads[l.conversation]);
    if cardinality(v_several) > 0 then
        v_threads := mailrow.join_all_threads(p_account, p_ids, p_conversations, p_named, v_several, v_threads);
    end if;
    return v_threads;
end $$;
comment on function mailrow.find_threads is
    'find_thread() for several conversations at once, each with the ids of its messages in order of id: named says whether a message goes by the id, or only leaves it for others. Returns the thread of each, its own of p_new where it is new.';

create function mailrow_delivery.place_of(
    p_account text, p_address text, p_wildcard text, p_base text, p_extension text,
    out account bigint, out mailbox text, out heard boolean
) language plpgsql set search_path = pg_catalog, pg_temp set enable_seqscan = off as $$
declare
    v_name text := p_account;
begin
    if p_account is null then
        select r.account, nullif(replace(r.mailbox, '*', lower(coalesce(p_extension, ''))), '') into v_name, mailbox
        from mailrow.routes r
        where r.pattern in (p_address, p_wildcard, p_base, substring(p_base from '@[^@]*$'), '*')
        order by case r.pattern when p_address then 1 when p_wildcard then 2 when p_base then 3 when '*' then 5 else 4 end
        limit 1;
    end if;
    v_name := coalesce(v_name, p_base);
    select a.account_id, a.notify_until > now() into account, heard from mailrow.accounts a where a.name = v_name;
    if not found then
        insert into mailrow.accounts (name) values (v_name) on conflict on constraint accounts_name_key do nothing
        returning account_id into account;
        if found then
            insert into mailrow.mailboxes (account_id, mailbox_id, name) values (account, 0, 'INBOX');
        else
            select a.account_id into strict account from mailrow.accounts a where a.name = v_name;
        end if;
    end if;
end $$;
comment on function mailrow_delivery.place_of is
    'The account of a recipient, made where it is missing; the mailbox that its route names, NULL without; and whether somebody listens.';

create function mailrow_delivery.mailboxes_of(p_account bigint, p_names text[]) returns bigint[]
language plpgsql set search_path = pg_catalog, pg_temp set enable_seqscan = off as $$
declare
    v_ids  bigint[];
    v_name text;
begin
    for i in 1 .. 2 loop
        v_ids := array(select b.mailbox_id from unnest(p_names) with ordinality n (name, place)
                       left join mailrow.mailboxes b on b.account_id = p_account and b.name = n.name order by n.place);
        exit when array_position(v_ids, null) is null;
        -- In order, so that two loads that make the same ones cannot deadlock.
        for v_name in select distinct n from unnest(p_names) n order by n loop
            insert into mailrow.mailboxes (account_id, name) values (p_account, v_name)
            on conflict on constraint mailboxes_name_key do nothing;
        end loop;
    end loop;
    return v_ids;
end $$;
comment on function mailrow_delivery.mailboxes_of is
    'The mailboxes of these names in an account, made where they are missing.';

create function mailrow_delivery.store_messages(
    p_account bigint, p_contents mailrow_delivery.content[], p_ids bigint[], p_threads bigint[], p_divided mailrow_delivery.divided[]
) returns bigint[]
language plpgsql set search_path = pg_catalog, pg_temp set enable_seqscan = off set work_mem = '64MB' as $$
declare
    v_sha256 constant bytea[] := array(select sha256(c.raw) from unnest(p_contents) c order by c.place);
    v_ids    bigint[] := p_ids;
    v_left   integer[];  -- places of those not stored yet; NULL: all
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
            select p_account, p_ids[c.place], v_sha256[c.place], length(c.raw), c.line_ends, c.header_size, c.parser, c.sent_at, c.sent_offset,
                   c.subject, c.from_name, c.from_address, c.sender_address, c.to_addresses, c.cc_addresses, c.reply_to,
                   c.message_id, c.in_reply_to, c.references_ids, c.defects, c.field_starts, c.field_values,
                   c.content_type,
                   c."text", case when (p_divided[c.place]).recipe is null then c.text_pieces
                                  else mailrow.move_pieces((p_divided[c.place]).recipe, c.text_pieces) end,
                   c.html, case when (p_divided[c.place]).recipe is null then c.html_pieces
                                else mailrow.move_pieces((p_divided[c.place]).recipe, c.html_pieces) end,
                   c.reply_ranges, c.attachment_names, c.recipient_names, c.auto_submitted, c.bulk, c.list_id,
                   p_threads[c.conversation], (p_divided[c.place]).recipe, (p_divided[c.place]).blobs, coalesce((p_divided[c.place]).raw, c.raw)
            from unnest(p_contents) c
            where v_left is null or c.place = any (v_left)
            on conflict on constraint messages_sha256_key do nothing
            returning id
        )
        select coalesce(array_agg(n.id), '{}') into v_new from new n;
        v_stored := v_stored || v_new;
        exit when cardinality(v_stored) = cardinality(p_ids);
        v_left := array(select i.place from unnest(p_ids) with ordinality i (id, place) where i.id <> all (v_stored));
        -- The lock keeps delete_mail() from removing it under us; what it has just removed comes anew.
        for v in
            select m.id, l.place from unnest(v_left) l (place)
            join mailrow.messages m on m.account_id = p_account and m.sha256 = v_sha256[l.place]
            order by m.id for key share of m
        loop
            v_ids[v.place] := v.id;
            v_left := array_remove(v_left, v.place);
        end loop;
        exit when v_left = '{}';
    end loop;
    return v_ids;
end $$;
comment on function mailrow_delivery.store_messages is
    'Adds those of the messages that are not there, and returns for each its id: of p_ids when it was added.';

create function mailrow_delivery.deliver_all(
    p_account text, p_extension_mailbox boolean, p_address text, p_wildcard text, p_base text, p_extension text,
    p_thread_ids bigint[], p_conversations integer[], p_named boolean[], p_first integer[],
    p_arrivals mailrow_delivery.arrival[], p_contents mailrow_delivery.content[],
    out ids bigint[], out redelivered integer[]
) language plpgsql security definer set search_path = pg_catalog, pg_temp set work_mem = '64MB' as $$
declare
    v_new       constant bigint[] := array(select nextval('mailrow.messages_id_seq') from unnest(p_contents));
    v_divided   mailrow_delivery.divided[];
    v_place     record;
    v_mailboxes bigint[];
    v_threads   bigint[];
    v_ids       bigint[];
    v_blobs     bytea[];
    v_contents  bytea[];
begin
    if current_setting('synchronous_commit') = 'off' then
        perform set_config('synchronous_commit', 'local', true);
    end if;
    -- Before any lock: it takes the longest.
    v_divided := array(
        select case when c.cuts is not null or c.contents is not null then (
                   select row(c.place, d.raw, d.recipe, d.contents, d.blobs)::mailrow_delivery.divided
                   from mailrow.divide(c.raw, c.cuts, c.contents) d) end
        from unnest(p_contents) c order by c.place);

    -- Locks no row, but the table against delete_account(), which waits until we are done.
    perform from mailrow.accounts a where a.account_id = -1 for key share;
    v_place := mailrow_delivery.place_of(p_account, p_address, p_wildcard, p_base, p_extension);
    v_mailboxes := mailrow_delivery.mailboxes_of(v_place.account, array(
        select case lower(m.name) when 'inbox' then 'INBOX' else m.name end
        from unnest(p_arrivals) a
        cross join lateral (select coalesce(case when p_extension_mailbox then lower(p_extension) end,
                                            a.mailbox, v_place.mailbox, 'INBOX')) m (name)));
    v_threads := mailrow.find_threads(v_place.account, p_thread_ids, p_conversations, p_named,
                                      array(select v_new[f] from unnest(p_first) with ordinality as t (f, n) order by n));
    v_ids := mailrow_delivery.store_messages(v_place.account, p_contents, v_new, v_threads, v_divided);

    select array_agg(b.sha256 order by d.place, b.n), array_agg(d.contents[b.n] order by d.place, b.n) into v_blobs, v_contents
    from unnest(v_divided) d, unnest(d.blobs) with ordinality b (sha256, n) where v_ids[d.place] = v_new[d.place];
    if v_blobs is not null then
        perform mailrow.keep_blobs(v_place.account, v_blobs, v_contents);
    end if;
    insert into mailrow.message_parts (
        account_id, message, "position", section, content_type, charset, disposition, filename, content_id,
        encoding, size, header_start, body_start, body_end, attachment, kept, sha256)
    select p.* from unnest(p_contents) c
    cross join lateral mailrow.part_rows(v_place.account, v_new[c.place], c.raw, c.parts,
                                         (v_divided[c.place]).recipe, (v_divided[c.place]).blobs) p
    where v_ids[c.place] = v_new[c.place];
    insert into mailrow.message_addresses (account_id, message, "position", field, address, name)
    select a.* from unnest(p_contents) c
    cross join lateral mailrow.address_rows(v_place.account, v_new[c.place], c.address_list) a
    where v_ids[c.place] = v_new[c.place];

    with arrivals as (
        select a.*, v_ids[a.content] as message, v_mailboxes[a.n] as mailbox_id
        from unnest(p_arrivals) with ordinality a (
            mailbox, content, again, source, sender, recipient, original_recipient, extension,
            client_address, client_helo, client_name, client_protocol, sasl_username, queue_id, received_at, flags, defects, n)
    ), stored as (
        insert into mailrow.deliveries as d (
            account_id, message, mailbox, received_at, source, sender, recipient, original_recipient, extension,
            client_address, client_helo, client_name, client_protocol, sasl_username, queue_id,
            flags, defects, redelivered)
        select v_place.account, a.message, a.mailbox_id, coalesce(a.received_at, now()), a.source, a.sender, a.recipient,
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
    if v_place.heard then
        perform pg_notify('mailrow', i::text) from unnest(ids) i;
    end if;
end $$;
comment on function mailrow_delivery.deliver_all is
    'Stores many mails for one account in one transaction, as deliver() one after the other. Contents are distinct and in order of their SHA-256; thread ids distinct and in order, each with its conversation; p_first is the place of the first mail of each conversation. Per arrival: the id of its row in view mail, and how often it was there before.';
