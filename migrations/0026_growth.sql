-- What an archive of a million mails needs, and a small mailbox in it.

-- Words come to the index of the search in bulk.
--
-- A mail of 2 KB has some 250 words, and to find the place of each of them in the
-- index takes most of the time of indexing. PostgreSQL can put the words of many mails
-- aside (the pending list) and bring them to their places together, where a word that
-- many of them have is looked up once. Searches read what was put aside: they find all,
-- only slower the longer the list is. So index_mail() ends it when nothing waits any more.

alter index mailrow.messages_by_word set (fastupdate = on);

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
        perform gin_clean_pending_list(to_regclass('mailrow.messages_by_word'));
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

-- The newest mail of a place. View mail knows accounts and mailboxes by name, so the
-- planner cannot tell how much mail a name stands for: by the view, the newest mail of
-- a mailbox that has little is found by walking through all mail, from the newest on.
-- This function walks along the index of each mailbox. It has no settings of its own, so
-- that the planner sees through it: what is not asked for is not read.
do $$
begin
    if current_setting('server_version_num')::integer >= 150000 then
        create function mailrow.newest(account text, mailbox text default null, max_rows integer default 50) returns setof mailrow.mail
        language sql stable rows 50 as $sql$
            select m.* from mailrow.mail m
            where (m.account_id, m.id) in (
                select s.account_id, s.id
                from mailrow.mailboxes b
                cross join lateral (
                    select d.account_id, d.id, d.received_at from mailrow.deliveries d
                    where d.account_id = b.account_id and d.mailbox = b.mailbox_id
                    order by d.received_at desc, d.id desc limit $3) s
                where b.account_id = (select a.account_id from mailrow.accounts a where a.name = $1)
                  and ($2 is null or b.name = $2)
                order by s.received_at desc, s.id desc limit $3)
            order by m.received_at desc, m.id desc
        $sql$;
    else
        -- Readers have only the views there.
        create function mailrow.newest(account text, mailbox text default null, max_rows integer default 50) returns setof mailrow.mail
        language sql stable rows 50 as $sql$
            select m.* from mailrow.mail m
            where m.account = $1 and ($2 is null or m.mailbox = $2)
            order by m.received_at desc, m.id desc limit $3
        $sql$;
    end if;
end $$;
comment on function mailrow.newest is
    'The newest mail of a mailbox, or of a whole account: as view mail, but as fast for a mailbox that has little mail among much.';

-- Phrases. What has the words of a phrase is much more than what has them in a row, and
-- to fold a text takes much longer than to look into it as it is, which tells most of
-- it apart.

create function mailrow.unfolded() returns text
language sql immutable as $$
    select text 'concat_ws('' '', m.subject, m.from_name, m.from_address, m.sender_address,
        array_to_string(m.to_addresses, '' ''), array_to_string(m.cc_addresses, '' ''), array_to_string(m.reply_to, '' ''), array_to_string(m.recipient_names, '' ''),
        array_to_string(m.attachment_names, '' ''), m.list_id, mailrow.read_pieces(m."text", m.raw, m.text_pieces))'
$$;
comment on function mailrow.unfolded is 'SQL of all that words and phrases search in message m, as it is written.';

create or replace function mailrow.quick_look(p_must text[]) returns text
language sql immutable as $$
    select case when p_must is null then 'true' else format('mailrow.may_hold(%L::text[], %s)', p_must, mailrow.unfolded())
        || (select string_agg(format(' and strpos(x.folded, %L) > 0', w), '') from unnest(p_must) w) end
$$;

create function mailrow.is_like_ascii(p_lower text) returns boolean
language sql immutable parallel safe set search_path = pg_catalog, pg_temp as $$
    -- Beside ASCII only such characters as never become ASCII letters or vanish:
    -- quotes, dashes, bullets, Greek, Cyrillic.
    select octet_length(p_lower) = length(p_lower)
        or p_lower ~ '^[\u0001-\u007f\u00a0-\u00a9\u00ab\u00ac\u00ae-\u00b1\u00b4\u00b6\u00b7\u00bb\u00bf\u00d7\u00f7\u0391-\u03c9\u0400-\u04ff\u2010-\u2027\u2030-\u205e\u20ac\u2190-\u21ff\u2500-\u27bf]*$'
$$;
comment on function mailrow.is_like_ascii is
    'Whether the ASCII words of a text in lower case are those that it has when it is folded.';

create or replace function mailrow.may_hold(p_must text[], p_text text) returns boolean
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
declare
    v_text  constant text := lower(p_text collate "C");
    v_ascii constant boolean := octet_length(v_text) = length(v_text);
    v_word  text;
begin
    if mailrow.is_like_ascii(v_text) then
        foreach v_word in array p_must loop
            if strpos(v_text, v_word) = 0 and (v_ascii or octet_length(v_word) = length(v_word)) then
                return false;
            end if;
        end loop;
    end if;
    return true;
end $$;

create function mailrow.may_hold_phrase(p_folded text, p_text text) returns boolean
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
declare
    v_text constant text := lower(p_text collate "C");
begin
    return octet_length(p_folded) <> length(p_folded)
           or v_text ~ replace(p_folded, ' ', '[^a-z0-9]+')
           or not mailrow.is_like_ascii(v_text);
end $$;
comment on function mailrow.may_hold_phrase is
    'Whether a text can have folded words one after the other, as far as can be told before it is folded.';

create or replace function mailrow.text_node(p_value text, p_quoted boolean, p_languages text[]) returns mailrow.search_node
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    v_folded constant text := mailrow.fold(p_value);
    v_prefix constant boolean := p_value like '%*';
    v_words  constant text := mailrow.words_query(v_folded, v_prefix, p_languages);
    v_holds  constant text := format('(mailrow.may_hold_phrase(%L, %s) and strpos(x.folded, %L) > 0)',
                                     v_folded, mailrow.unfolded(), mailrow.phrase(v_folded, v_prefix));
    v_node   mailrow.search_node;
begin
    if v_folded = '' then
        return null;
    end if;
    -- One word in quotes is meant as it is written; without, its stem is enough,
    -- and a word that no language indexes says nothing.
    if strpos(v_folded, ' ') > 0 or length(v_folded) > 40
       or p_quoted and not v_prefix and p_languages <> array['simple'] then
        v_node := mailrow.node_of_sql(nullif(v_words, ''), v_holds);
    elsif v_words <> '' then
        v_node := mailrow.node_of_words(v_words);
    end if;
    v_node.must := mailrow.literal_words(v_folded, p_languages);
    return v_node;
end $$;
