-- Mail that comes together: deliver_all() stores many mails for one account by one
-- statement each for all of them, and what it stores is what deliver() would have
-- stored of one after the other.

-- Attachments, of which there may be hundreds in one call: the bytes are compared
-- instead of their hashes, and the plan of base64 is kept.

create or replace function mailrow.wrap_base64(p_content bytea, p_line_length integer, p_crlf integer) returns bytea
language plpgsql immutable strict parallel safe set search_path = pg_catalog, pg_temp as $$
declare
    v_text constant text := encode(p_content, 'base64');
begin
    -- encode() breaks lines at 76, also after the last when it is full. What takes a
    -- text apart by characters (rtrim, translate) needs many times its size.
    if p_line_length = 0 then
        return convert_to(replace(v_text, E'\n', ''), 'UTF8');
    elsif p_line_length = 76 and p_crlf = 0 then
        return rtrim(convert_to(v_text, 'UTF8'), '\x0a');
    elsif p_line_length = 76 then
        return rtrim(convert_to(replace(v_text, E'\n', E'\r\n'), 'UTF8'), '\x0d0a');
    end if;
    return convert_to((
        select string_agg(replace(encode(substring(p_content from i for p_line_length / 4 * 3), 'base64'), E'\n', ''),
                          case p_crlf when 1 then E'\r\n' else E'\n' end order by i)
        from generate_series(1, length(p_content), p_line_length / 4 * 3) i), 'UTF8');
end $$;

create or replace function mailrow.take_out(
    p_raw bytea, p_cuts integer[], out raw bytea, out recipe integer[], out contents bytea[]
) language plpgsql immutable parallel safe set search_path = pg_catalog, pg_temp as $$
declare
    v_pieces bytea[] := '{}';
    v_from   integer := 0;
    v_blob   integer := 0;
begin
    recipe := '{}';
    contents := '{}';
    for i in 1 .. cardinality(p_cuts) by 4 loop
        v_blob := v_blob + 1;
        contents := contents || decode(convert_from(substring(p_raw from p_cuts[i] + 1 for p_cuts[i + 1] - p_cuts[i]), 'UTF8'), 'base64');
        recipe := recipe || array[p_cuts[i], p_cuts[i + 1] - p_cuts[i], v_blob, p_cuts[i + 2], p_cuts[i + 3]];
        v_pieces := v_pieces || substring(p_raw from v_from + 1 for p_cuts[i] - v_from);
        v_from := p_cuts[i + 1];
    end loop;
    raw := (select string_agg(piece, ''::bytea order by n) from unnest(v_pieces) with ordinality as t (piece, n))
           || substring(p_raw from v_from + 1);
    if mailrow.put_back(raw, recipe, contents) is distinct from p_raw then
        raise exception 'mailrow: what was taken out of a mail does not give it back' using errcode = 'data_exception';
    end if;
exception when others then
    -- Whatever goes wrong here, the mail is stored: whole.
    raw := p_raw;
    recipe := null;
    contents := '{}';
end $$;

create type mailrow_delivery.content as (
    place integer, conversation integer,
    line_ends text, header_size integer, parser smallint,
    sent_at timestamptz, sent_offset smallint,
    subject text, from_name text, from_address text, sender_address text,
    to_addresses text[], cc_addresses text[], reply_to text[],
    message_id text, in_reply_to text, references_ids text[],
    defects text[], field_starts integer[], field_values text[],
    content_type text, "text" text, text_pieces integer[], html text, html_pieces integer[],
    reply_ranges integer[], attachment_names text[], recipient_names text[], auto_submitted text, bulk boolean, list_id text,
    cuts integer[], contents bytea[]
);
comment on type mailrow_delivery.content is
    'One distinct mail of deliver_all() as the parser gives it. Its place is that among those of the call in order of arrival; its conversation is an index of p_first.';

create type mailrow_delivery.part as (
    of integer, "position" smallint, section text, content_type text, charset text, disposition text, filename text,
    content_id text, encoding text, size bigint, header_start integer, body_start integer, body_end integer,
    attachment boolean, kept text, cut integer, content integer
);
comment on type mailrow_delivery.part is 'One part of the content with index of, as the parser gives it.';

create type mailrow_delivery.address as (of integer, "position" smallint, field text, address text, name text);
comment on type mailrow_delivery.address is 'One address of the content with index of.';

create type mailrow_delivery.arrival as (
    of integer, mailbox text, again integer,
    source text, sender text, recipient text, original_recipient text, extension text,
    client_address inet, client_helo text, client_name text, client_protocol text,
    sasl_username text, queue_id text, received_at timestamptz, flags text[], defects text[]
);
comment on type mailrow_delivery.arrival is
    'One arrival of the content with index of: where, and how often it came again in the same call.';

create type mailrow_delivery.divided as (raw bytea, recipe integer[], contents bytea[], blobs bytea[]);
comment on type mailrow_delivery.divided is 'What divide() made of one mail.';

-- The rules of add_parts(), for one mail and for many. They can be inlined, so they
-- set no search_path and name every schema.

create function mailrow.blob_of(p_cut integer, p_content integer, p_recipe integer[]) returns integer
language sql immutable parallel safe as $$
    -- Contents that were cut out come first in blobs, if the mail could be divided.
    select case when p_cut is not null and p_recipe is not null then p_cut
                when p_content is not null
                    then p_content operator(pg_catalog.+) coalesce(pg_catalog.cardinality(p_recipe) operator(pg_catalog./) 5, 0) end
$$;
comment on function mailrow.blob_of is
    'Which of its message''s blobs holds a part: cut and content say which of the contents cut out of the mail, or given beside it, is its own.';

create function mailrow.hash_in_raw(p_raw bytea, p_start integer, p_end integer, p_kept text) returns bytea
language sql immutable parallel safe as $$
    select pg_catalog.sha256(mailrow.undo_encoding(
        pg_catalog.substring(p_raw, p_start operator(pg_catalog.+) 1, p_end operator(pg_catalog.-) p_start),
        case when p_kept operator(pg_catalog.=) 'quoted-printable' then 1 when p_kept operator(pg_catalog.=) 'base64' then 2 else 0 end))
$$;
comment on function mailrow.hash_in_raw is 'SHA-256 of the content of a part that is kept in the mail.';

create or replace function mailrow.add_parts(
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
                when p.attachment then mailrow.hash_in_raw(p_raw, p.body_start, p.body_end, p.kept) end
    from (select u.*, mailrow.blob_of(u.cut, u.content, p_recipe) as blob
          from jsonb_to_recordset(p_parts) as u (
              "position" smallint, section text, content_type text, charset text, disposition text, filename text,
              content_id text, encoding text, size bigint, header_start integer, body_start integer, body_end integer,
              attachment boolean, kept text, cut integer, content integer)) p;
end $$;

create or replace function mailrow.find_thread(p_account bigint, p_ids bigint[], p_subject_id bigint, p_new bigint) returns bigint
language plpgsql set search_path = pg_catalog, pg_temp set enable_seqscan = off as $$
declare
    v_added   bigint[];
    v_others  bigint[];  -- ids that others have brought
    v_threads bigint[];
    v_thread  bigint;
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
            v_thread := mailrow.join_threads(p_account, p_ids);
            exit;
        elsif cardinality(v_others) = 0 or v_threads is null then
            v_thread := coalesce(v_threads[1], p_new);
            exit;
        end if;
        -- A lock on a row that others see keeps them from joining this thread to an
        -- older one until our message is there.
        perform from mailrow.thread_ids t
        where t.account_id = p_account and t.id = any (v_others) and t.thread = v_threads[1] limit 1 for share;
        if found then
            v_thread := v_threads[1];
            exit;
        end if;
        v_others := array(select t.id from mailrow.thread_ids t where t.account_id = p_account and t.id = any (v_others));
    end loop;
    -- Who has joined the thread meanwhile did not see the subject that came with it.
    if p_subject_id = any (v_added) then
        update mailrow.thread_ids t set thread = v_thread
        where t.account_id = p_account and t.id = p_subject_id and t.thread <> v_thread;
    end if;
    return v_thread;
end $$;

-- Below, "limit 1" makes the planner look each row up by its key, whatever it thinks
-- of the tables when it makes the plan that the connection keeps.

create function mailrow.threads_of(p_account bigint, p_ids bigint[], p_conversations integer[], p_named boolean[])
returns table (conversation integer, id bigint, thread bigint, last_thread bigint)
language plpgsql stable rows 100 set search_path = pg_catalog, pg_temp set enable_seqscan = off set plan_cache_mode = force_generic_plan as $$
begin
    return query
    select i.conversation, min(i.id), min(t.thread), max(t.thread)
    from unnest(p_ids, p_conversations, p_named) i (id, conversation, named)
    cross join lateral (select t.thread from mailrow.thread_ids t where t.account_id = p_account and t.id = i.id limit 1) t
    where i.named group by i.conversation order by 3, 2;
end $$;
comment on function mailrow.threads_of is
    'Those of the conversations that have an id which is known, with the least such id, and the first and the last of the threads that their ids lead to.';

create function mailrow.join_all_threads(
    p_account bigint, p_ids bigint[], p_conversations integer[], p_named boolean[], p_several integer[], p_threads bigint[]
) returns bigint[]
language plpgsql set search_path = pg_catalog, pg_temp set enable_seqscan = off set plan_cache_mode = force_generic_plan as $$
declare
    v_several integer[] := p_several;
    v_threads bigint[] := p_threads;
    v         record;
begin
    loop
        for v in
            select array_agg(i.id) as ids from unnest(p_ids, p_conversations, p_named) i (id, conversation, named)
            where i.named and i.conversation = any (v_several) group by i.conversation order by i.conversation
        loop
            perform mailrow.join_threads(p_account, v.ids);
        end loop;
        -- Nobody else joins any from here on, but somebody may have just before, and
        -- so have left what we added to their threads behind.
        v_several := array(select t.conversation from mailrow.threads_of(p_account, p_ids, p_conversations, p_named) t
                           where t.thread <> t.last_thread);
        exit when v_several = '{}';
    end loop;
    for v in
        select t.conversation, t.thread from mailrow.threads_of(p_account, p_ids, p_conversations, p_named) t
        where t.thread <> p_threads[t.conversation]
    loop
        update mailrow.thread_ids t set thread = v.thread
        where t.account_id = p_account and t.thread = p_threads[v.conversation];
        v_threads[v.conversation] := v.thread;
    end loop;
    return v_threads;
end $$;
comment on function mailrow.join_all_threads is
    'join_threads() for each of several conversations. Returns the threads of all conversations after it.';

create function mailrow.find_threads(
    p_account bigint, p_ids bigint[], p_conversations integer[], p_named boolean[], p_new bigint[]
) returns bigint[]
language plpgsql set search_path = pg_catalog, pg_temp set enable_seqscan = off set plan_cache_mode = force_generic_plan as $$
declare
    v_threads bigint[] := p_new;
    v_known   bigint;            -- how many ids were there before
    v_added   bigint;
    v_of      integer[] := '{}'; -- conversations with a known id, in order of their threads, and that id
    v_ids     bigint[] := '{}';
    v_several integer[] := '{}'; -- conversations that lead to more than one thread
    v         record;
begin
    select count(*) into v_known
    from unnest(p_ids) i (id)
    cross join lateral (select from mailrow.thread_ids t where t.account_id = p_account and t.id = i.id limit 1) t;
    if v_known > 0 then
        for v in select * from mailrow.threads_of(p_account, p_ids, p_conversations, p_named) loop
            v_threads[v.conversation] := v.thread;
            v_of := v_of || v.conversation;
            v_ids := v_ids || v.id;
            if v.thread <> v.last_thread then
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
    end if;
    -- A lock on a row that others see keeps them from joining its thread to an older
    -- one until our messages are there. Who joins has the account for himself.
    v_several := array(
        select k.conversation
        from unnest(v_ids, v_of) k (id, conversation)
        cross join lateral (select t.thread from mailrow.thread_ids t
                            where t.account_id = p_account and t.id = k.id limit 1 for share) t
        where k.conversation <> all (v_several) and t.thread <> v_threads[k.conversation]);
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
) language plpgsql set search_path = pg_catalog, pg_temp set enable_seqscan = off set plan_cache_mode = force_generic_plan as $$
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
language plpgsql set search_path = pg_catalog, pg_temp set enable_seqscan = off set plan_cache_mode = force_generic_plan as $$
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

create function mailrow.raw_at(p_raws bytea, p_starts integer[], p_n integer) returns bytea
language sql immutable parallel safe as $$
    select pg_catalog.substring(p_raws, p_starts[p_n] operator(pg_catalog.+) 1,
                                p_starts[p_n operator(pg_catalog.+) 1] operator(pg_catalog.-) p_starts[p_n])
$$;
comment on function mailrow.raw_at is 'One of the mails that lie in p_raws, where p_starts say.';

create function mailrow_delivery.store_messages(
    p_account bigint, p_contents mailrow_delivery.content[], p_raws bytea, p_starts integer[], p_divided mailrow_delivery.divided[],
    p_ids bigint[], p_threads bigint[]
) returns bigint[]
language plpgsql set search_path = pg_catalog, pg_temp set enable_seqscan = off set plan_cache_mode = force_generic_plan as $$
declare
    v_sha256 constant bytea[] := array(select sha256(mailrow.raw_at(p_raws, p_starts, n)) from generate_series(1, cardinality(p_ids)) n);
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
            select p_account, p_ids[c.n], v_sha256[c.n], p_starts[c.n + 1] - p_starts[c.n], c.line_ends, c.header_size, c.parser, c.sent_at, c.sent_offset,
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
comment on function mailrow_delivery.store_messages is
    'Adds those of the messages that are not there, and returns for each its id: of p_ids when it was added.';

create function mailrow_delivery.deliver_all(
    p_account text, p_extension_mailbox boolean, p_address text, p_wildcard text, p_base text, p_extension text,
    p_thread_ids bigint[], p_conversations integer[], p_named boolean[], p_first integer[],
    p_arrivals mailrow_delivery.arrival[], p_contents mailrow_delivery.content[],
    p_parts mailrow_delivery.part[], p_addresses mailrow_delivery.address[], p_starts integer[], p_raws bytea,
    out ids bigint[], out redelivered integer[]
) language plpgsql security definer set search_path = pg_catalog, pg_temp set work_mem = '64MB' set jit = off set plan_cache_mode = force_generic_plan as $$
declare
    v_sequence  constant bigint[] := array(select nextval('mailrow.messages_id_seq') from unnest(p_contents));
    v_new       constant bigint[] := array(select v_sequence[c.place] from unnest(p_contents) c);
    v_divided   mailrow_delivery.divided[];
    v_place     record;
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

    -- Locks no row, but the table against delete_account(), which waits until we are done.
    perform from mailrow.accounts a where a.account_id = -1 for key share;
    v_place := mailrow_delivery.place_of(p_account, p_address, p_wildcard, p_base, p_extension);
    v_mailboxes := mailrow_delivery.mailboxes_of(v_place.account, array(
        select case lower(m.name) when 'inbox' then 'INBOX' else m.name end
        from unnest(p_arrivals) a
        cross join lateral (select coalesce(case when p_extension_mailbox then lower(p_extension) end,
                                            a.mailbox, v_place.mailbox, 'INBOX')) m (name)));
    v_threads := mailrow.find_threads(v_place.account, p_thread_ids, p_conversations, p_named,
                                      array(select v_new[f] from unnest(p_first) f));
    v_ids := mailrow_delivery.store_messages(v_place.account, p_contents, p_raws, p_starts, v_divided, v_new, v_threads);

    select array_agg(b.sha256), array_agg((v_divided[d.n]).contents[b.n]) into v_blobs, v_contents
    from generate_subscripts(v_divided, 1) d (n), unnest((v_divided[d.n]).blobs) with ordinality b (sha256, n)
    where v_ids[d.n] = v_new[d.n];
    if v_blobs is not null then
        perform mailrow.keep_blobs(v_place.account, v_blobs, v_contents);
    end if;
    insert into mailrow.message_parts (
        account_id, message, "position", section, content_type, charset, disposition, filename, content_id,
        encoding, size, header_start, body_start, body_end, attachment, kept, sha256)
    select v_place.account, v_new[p.of], p."position", p.section, p.content_type, p.charset, p.disposition, p.filename, p.content_id,
           p.encoding, p.size, p.header_start, p.body_start, p.body_end, p.attachment,
           case when p.blob is null then p.kept else 'blob' end,
           case when p.blob is not null then (v_divided[p.of]).blobs[p.blob]
                when p.attachment then mailrow.hash_in_raw(mailrow.raw_at(p_raws, p_starts, p.of), p.body_start, p.body_end, p.kept) end
    from (select u.*, mailrow.blob_of(u.cut, u.content, (v_divided[u.of]).recipe) as blob
          from unnest(p_parts) u where v_ids[u.of] = v_new[u.of]) p;
    insert into mailrow.message_addresses (account_id, message, "position", field, address, name)
    select v_place.account, v_new[u.of], u."position", u.field, u.address, u.name
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
    'Stores many mails for one account in one transaction, as deliver() one after the other. Contents are distinct and in order of their SHA-256; p_raws are their bytes, p_starts where each begins and the last ends; thread ids distinct and in order, each with its conversation; p_first is the index of the first content of each conversation. Per arrival: the id of its row in view mail, and how often it was there before.';
