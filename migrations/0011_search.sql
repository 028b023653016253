-- Finding. Words that are rare are found by the index at once. Of words that are in
-- every tenth mail nobody wants all, but the newest: they are looked for among the
-- newest deliveries first, which the index can narrow to by their ranges of ids.

create function mailrow.search_from(p_kind text, p_words text, p_conditions text) returns text
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
declare
    v_folded constant text := 'mailrow.search_text(m.subject, m.from_name, m.from_address, m.sender_address, m.to_addresses, m.cc_addresses, '
        'm.reply_to, m.recipient_names, m.attachment_names, m.list_id, mailrow.read_pieces(m."text", m.raw, m.text_pieces))';
    v_where  constant text := case p_kind
        -- As in the definition of the index.
        when 'indexed' then format('m.language is not null and mailrow.search_words(m.language, m.account_id, m.id, m.size, m.attachment_names, %s) @@ %L::tsquery and ',
                                   v_folded, p_words)
        when 'waiting' then format('v.words @@ %L::tsquery and ', p_words)
        else '' end || p_conditions;
    v_words  constant boolean := strpos(v_where, 'v.words') > 0;
begin
    -- What is read of a message is read once, and only when the conditions ask for it.
    return case p_kind
            -- In their order, so that a limit ends it early.
            when 'waiting' then 'from (select d.account_id, d.id, d.message, d.received_at '
                'from mailrow.messages m join mailrow.deliveries d on d.account_id = m.account_id and d.message = m.id '
                'where m.language is null order by d.received_at desc, d.id desc offset 0) w '
                'join mailrow.messages m on m.account_id = w.account_id and m.id = w.message '
                'join mailrow.deliveries d on d.account_id = w.account_id and d.id = w.id'
            else 'from mailrow.messages m join mailrow.deliveries d on d.account_id = m.account_id and d.message = m.id' end
        || case when v_words or strpos(v_where, 'x.folded') > 0
                then ' cross join lateral (select ' || v_folded || ' as folded offset 0) x' else '' end
        || case when v_words
                then ' cross join lateral (select mailrow.search_words(coalesce(m.language, (select a.language from mailrow.accounts a '
                     'where a.account_id = m.account_id)), m.account_id, m.id, m.size, m.attachment_names, x.folded) as words offset 0) v' else '' end
        || ' where ' || v_where;
end $$;
comment on function mailrow.search_from is
    'From and where of a search in what the index has (indexed), in what index_mail() has yet to take up (waiting), or in all mail without the index (any).';

create function mailrow.few_places(p_accounts bigint[], p_places text) returns boolean
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    v_few boolean;
begin
    if p_accounts is null and p_places is null then
        return false;
    end if;
    execute format('select count(*) <= 16 from (select from mailrow.mailboxes b where %s limit 17) s', mailrow.place_test(p_accounts, p_places)) into v_few;
    return v_few;
end $$;
comment on function mailrow.few_places is
    'Whether a search is about so few mailboxes that each is walked by itself, by deliveries_by_mailbox.';

create function mailrow.place_test(p_accounts bigint[], p_places text) returns text
language sql immutable as $$
    select concat_ws(' and ', 'true', case when p_accounts is not null then format('b.account_id = any (%L::bigint[])', p_accounts) end, p_places)
$$;
comment on function mailrow.place_test is 'SQL for the mailboxes b that a search is about.';

create function mailrow.newest_first(p_columns text, p_from text, p_limit integer, p_few boolean, p_accounts bigint[], p_places text) returns text
language sql immutable as $$
    select case when p_few then
        format('select s.* from mailrow.mailboxes b cross join lateral (select %s %s and d.account_id = b.account_id and d.mailbox = b.mailbox_id '
               'order by d.received_at desc, d.id desc limit %s) s where %s order by s.received_at desc, s.id desc limit %3$s',
               p_columns, p_from, p_limit, mailrow.place_test(p_accounts, p_places))
    else
        format('select %s %s%s order by d.received_at desc, d.id desc limit %s', p_columns, p_from,
               case when p_accounts is not null then format(' and d.account_id = any (%L::bigint[])', p_accounts) else '' end, p_limit)
    end
$$;
comment on function mailrow.newest_first is
    'A query of the newest deliveries, mailbox by mailbox where they are few.';

create type mailrow.search_window as (
    deliveries integer,      -- how many there are in it
    since      timestamptz,  -- when the oldest of them was received
    words      text          -- tsquery of the ranges of ids of their messages; NULL where these are too many
);
comment on type mailrow.search_window is 'The newest deliveries among those that a query is about.';

create function mailrow.newest_window(p_node mailrow.search_node, p_deliveries integer, p_few boolean, p_accounts bigint[]) returns mailrow.search_window
language plpgsql stable set search_path = pg_catalog, pg_temp set enable_bitmapscan = off as $$
declare
    v_window mailrow.search_window;
    v_near   bigint[];
    v_wide   bigint[];
begin
    execute 'select count(*), min(w.received_at), array_agg(distinct w.message >> 10), array_agg(distinct w.message >> 14) from ('
        || mailrow.newest_first('d.id, d.message, d.received_at', concat_ws(' and ', 'from mailrow.deliveries d where true',
               'd.received_at >= ' || quote_literal(p_node.since), 'd.received_at < ' || quote_literal(p_node.until)),
               p_deliveries, p_few, p_accounts, p_node.places) || ') w'
        into v_window.deliveries, v_window.since, v_near, v_wide;
    v_window.words := case
        when cardinality(v_near) <= 8 then (select '(' || string_agg(mailrow.quote_word('ids:' || i), ' | ') || ')' from unnest(v_near) i)
        when cardinality(v_wide) <= 8 then (select '(' || string_agg(mailrow.quote_word('wide-ids:' || i), ' | ') || ')' from unnest(v_wide) i) end;
    return v_window;
end $$;
comment on function mailrow.newest_window is 'The window of so many newest deliveries.';

create type mailrow.search_hit as (account_id bigint, id bigint, received_at timestamptz);
comment on type mailrow.search_hit is 'A delivery that a query matches.';

create function mailrow.may_hold(p_must text[], p_text text) returns boolean
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
declare
    v_text  constant text := lower(p_text collate "C");
    v_ascii constant boolean := octet_length(v_text) = length(v_text);
    v_word  text;
begin
    -- Beside ASCII only such characters as never become ASCII letters or vanish:
    -- quotes, dashes, bullets, Greek, Cyrillic.
    if v_ascii or v_text ~ '^[\u0001-\u007f\u00a0-\u00a9\u00ab\u00ac\u00ae-\u00b1\u00b4\u00b6\u00b7\u00bb\u00bf\u00d7\u00f7\u0391-\u03c9\u0400-\u04ff\u2010-\u2027\u2030-\u205e\u20ac\u2190-\u21ff\u2500-\u27bf]*$' then
        foreach v_word in array p_must loop
            if strpos(v_text, v_word) = 0 and (v_ascii or octet_length(v_word) = length(v_word)) then
                return false;
            end if;
        end loop;
    end if;
    return true;
end $$;
comment on function mailrow.may_hold is
    'Whether a text may hold all of some folded words: a quick look, before it is folded itself.';

create function mailrow.quick_look(p_must text[]) returns text
language sql immutable as $$
    select case when p_must is null then 'true' else format('mailrow.may_hold(%L::text[], concat_ws('' '', m.subject, m.from_name, m.from_address, m.sender_address,
        array_to_string(m.to_addresses, '' ''), array_to_string(m.cc_addresses, '' ''), array_to_string(m.reply_to, '' ''), array_to_string(m.recipient_names, '' ''),
        array_to_string(m.attachment_names, '' ''), m.list_id, mailrow.read_pieces(m."text", m.raw, m.text_pieces)))', p_must)
        || (select string_agg(format(' and strpos(x.folded, %L) > 0', w), '') from unnest(p_must) w) end
$$;
comment on function mailrow.quick_look is 'SQL that leaves out messages that cannot match, most of them before they are folded, and the others before their words are taken apart.';

create function mailrow.indexed_sql(p_words text, p_conditions text) returns text
language sql immutable as $$
    select 'select d.account_id, d.id, d.received_at ' || mailrow.search_from('indexed', p_words, p_conditions)
$$;
comment on function mailrow.indexed_sql is 'A query by words in what the index has.';

create function mailrow.waiting_sql(p_words text, p_conditions text, p_must text[], p_limit integer) returns text
language sql immutable as $$
    select 'select d.account_id, d.id, d.received_at '
        || mailrow.search_from('waiting', p_words, p_conditions || ' and ' || mailrow.quick_look(p_must))
        || coalesce(' order by w.received_at desc, w.id desc limit ' || p_limit, '')
$$;
comment on function mailrow.waiting_sql is 'A query by words in what index_mail() has yet to take up.';

create function mailrow.find_newest(p_node mailrow.search_node, p_words text, p_conditions text, p_accounts bigint[], p_few boolean, p_limit integer, p_waiting mailrow.search_hit[])
returns mailrow.search_hit[]
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    v_total      constant bigint := (select c.reltuples from pg_class c where c.oid = 'mailrow.deliveries'::regclass);
    v_deliveries bigint := greatest(400, 4 * p_limit);
    v_next       bigint;
    v_found      integer;
    v_window     mailrow.search_window;
    v_hits       mailrow.search_hit[];
begin
    while v_deliveries <= 100000 loop
        v_window := mailrow.newest_window(p_node, v_deliveries::integer, p_few, p_accounts);
        exit when v_window.words is null or v_window.deliveries < v_deliveries;
        execute format('select array_agg(row(s.account_id, s.id, s.received_at)::mailrow.search_hit) from ('
                           'select * from unnest($1) where received_at >= %L union all %s order by 3 desc, 2 desc limit %s) s', v_window.since,
                       mailrow.indexed_sql(v_window.words || ' & ' || p_words, format('d.received_at >= %L and ', v_window.since) || p_conditions), p_limit)
            into v_hits using p_waiting;
        if cardinality(v_hits) >= p_limit then
            return v_hits;
        end if;
        -- As many as should do, if the older mail is like the newer; unless it takes
        -- less to have the index find all that match, of which a condition may leave
        -- little. Of one or two hits nothing can be told.
        v_found := coalesce(cardinality(v_hits), 0);
        v_next := v_deliveries * greatest(5, case when v_found >= 3 then ceil(2.0 * p_limit / v_found)::integer end);
        exit when v_found = 0 and v_deliveries >= 2000
            or (v_found >= 3 or v_deliveries >= 10000)
               and v_next > case when p_node.rest is null then 20 else 200 end * v_found * v_total / v_deliveries;
        v_deliveries := v_next;
    end loop;
    return null;
end $$;
comment on function mailrow.find_newest is
    'The newest deliveries that match, found among the newest of all; NULL when there are not enough of them.';

create function mailrow.find_without_words(p_node mailrow.search_node, p_mine text, p_accounts bigint[], p_few boolean, p_limit integer)
returns setof mailrow.search_hit
-- A bitmap would be of all mail, in no order.
language plpgsql stable rows 100 set search_path = pg_catalog, pg_temp set enable_bitmapscan = off as $$
begin
    return query execute case when p_limit is null or p_node.thread is not null
        then 'select d.account_id, d.id, d.received_at ' || mailrow.search_from('any', null, concat_ws(' and ', p_mine, p_node.whole))
             || coalesce(' order by 3 desc, 2 desc limit ' || p_limit, '')
        -- Whose the mailboxes are is asked of each, and of all deliveries where they are many.
        else mailrow.newest_first('d.account_id, d.id, d.received_at', mailrow.search_from('any', null, coalesce(p_node.whole, 'true')),
                                  p_limit, p_few, p_accounts, p_node.places) end;
end $$;
comment on function mailrow.find_without_words is
    'The deliveries that match a query that has no words for the index: in one thread, or from the newest on.';

create function mailrow.find(p_node mailrow.search_node, p_accounts bigint[], p_limit integer) returns setof mailrow.search_hit
language plpgsql stable rows 100 set search_path = pg_catalog, pg_temp
set jit = off set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
set work_mem = '64MB' set random_page_cost = 1.1 set max_parallel_workers_per_gather = 0 as $$
declare
    v_mine  constant text := case when p_accounts is null then 'true'
                                  else format('d.account_id = any (%L::bigint[]) and m.account_id = any (%1$L::bigint[])', p_accounts) end;
    v_few   constant boolean := mailrow.few_places(p_accounts, p_node.places);
    v_words text := p_node.words;
    v_rest  constant text := concat_ws(' and ', v_mine, p_node.rest);
    v_waiting mailrow.search_hit[];
    v_hits    mailrow.search_hit[];
begin
    if p_node.thread is not null or v_words is null then
        return query select * from mailrow.find_without_words(p_node, v_mine, p_accounts, v_few, p_limit);
        return;
    end if;
    if cardinality(p_accounts) <= 20 then
        v_words := mailrow.account_marks(p_accounts) || ' & ' || v_words;
    elsif not p_node.wanted then
        -- Only what must not be there: the index needs something to begin with.
        v_words := (select '(' || string_agg(mailrow.quote_word('language:' || l), ' | ') || ') & '
                    from unnest(mailrow.languages_in_use()) l) || v_words;
    end if;
    if p_limit is null then
        return query execute mailrow.indexed_sql(v_words, v_rest) || ' union all ' || mailrow.waiting_sql(v_words, v_rest, p_node.must, null);
        return;
    end if;
    execute 'select array_agg(row(s.account_id, s.id, s.received_at)::mailrow.search_hit) from ('
            || mailrow.waiting_sql(v_words, v_rest, p_node.must, p_limit) || ') s' into v_waiting;
    v_hits := mailrow.find_newest(p_node, v_words, v_rest, p_accounts, v_few, p_limit, v_waiting);
    if v_hits is not null then
        return query select * from unnest(v_hits);
    else
        return query execute format('select * from unnest($1) union all %s order by 3 desc, 2 desc limit %s',
                                    mailrow.indexed_sql(v_words, v_rest), p_limit) using v_waiting;
    end if;
end $$;
comment on function mailrow.find is
    'The deliveries that a query matches in these accounts: all, or the newest so many.';

-- Showing.

create function mailrow.letters_pattern(p_folded text) returns text
language sql immutable set search_path = pg_catalog, pg_temp as $$
    select replace(replace(replace(string_agg(coalesce(c.class, l.letter), '' order by l.n),
               '[sśŝşšș][sśŝşšș]', '(?:ss|ß)'), '[aàáâãäåāăąǎ][eèéêëēĕėęě]', '(?:[aàáâãäåāăąǎ][eèéêëēĕėęě]|æ)'),
               '[oòóôõöøōŏőǒ][eèéêëēĕėęě]', '(?:[oòóôõöøōŏőǒ][eèéêëēĕėęě]|œ)')
    from string_to_table(p_folded, null) with ordinality as l (letter, n)
    left join (select left(k, 1) as letter, '[' || k || ']' as class
               from unnest('{aàáâãäåāăąǎ,cçćĉċč,dďđð,eèéêëēĕėęě,gĝğġģ,hĥħ,iìíîïĩīĭįıǐ,jĵ,kķ,lĺļľł,nñńņňŋ,oòóôõöøōŏőǒ,rŕŗř,sśŝşšș,tţťŧț,uùúûüũūŭůűųǔ,wŵ,yýÿŷ,zźżž,αά,εέ,ηή,ιίϊΐ,οό,υύϋΰ,ωώ,σς,её}'::text[]) k) c
           using (letter)
$$;
comment on function mailrow.letters_pattern is 'A regular expression of a folded word as it may be written, with accents.';

create function mailrow.word_pattern(p_word text, p_prefix boolean, p_stems boolean) returns text
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    v_word text := p_word;
    v_stem text;
begin
    if p_stems and not p_prefix then
        -- What the word and its stems have in common.
        for v_stem in select unnest(tsvector_to_array(to_tsvector(l::regconfig, p_word))) from unnest(mailrow.languages_in_use()) l loop
            while not starts_with(v_stem, v_word) loop
                v_word := left(v_word, -1);
            end loop;
        end loop;
        v_word := case when length(v_word) < 3 then p_word else v_word end;
    end if;
    -- Between characters of scripts without blanks no word begins or ends.
    return case when v_word ~ '^[\u0e00-\u30ff\u3400-\u9fff]' then '' else '\m' end
        || mailrow.letters_pattern(v_word)
        || case when v_word ~ '[\u0e00-\u30ff\u3400-\u9fff]$' then '' when p_prefix or v_word <> p_word then '\w*' else '\M' end;
end $$;
comment on function mailrow.word_pattern is 'A regular expression of one folded word, or with stems also of its other forms.';

create function mailrow.hit_pattern(p_query text) returns text
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    v_token    text;
    v_operator text;
    v_folded   text;
    v_found    text[] := '{}';
begin
    foreach v_token in array mailrow.query_tokens(p_query) loop
        v_operator := lower(substring(v_token from '^([A-Za-z]+):'));
        continue when v_token like '-%' or lower(v_token) in ('or', '|')
            or v_operator in ('from', 'to', 'cc', 'filename', 'list', 'recipient', 'in', 'account', 'thread',
                              'before', 'after', 'larger', 'smaller', 'is', 'type', 'has');
        v_folded := mailrow.fold(case v_operator when 'subject' then substr(v_token, 9) else v_token end);
        continue when v_folded = '' or length(v_folded) > 200;
        v_found := v_found || (
            select string_agg(mailrow.word_pattern(w, v_token like '%*', strpos(v_token || v_folded, '"') + strpos(v_folded, ' ') = 0), '\W*' order by n)
            from string_to_table(v_folded, ' ') with ordinality as t (w, n));
        exit when cardinality(v_found) >= 30;
    end loop;
    return '(' || nullif(array_to_string(v_found, '|'), '') || ')';
end $$;
comment on function mailrow.hit_pattern is
    'A regular expression of the words and phrases of a query, as they may be written in a text; NULL without any.';

create function mailrow.excerpt(p_text text, p_pattern text, p_mark_start text, p_mark_end text) returns text
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
declare
    v_text constant text := left(p_text, 200000);
    v_hit  constant text := (regexp_match(v_text, p_pattern, 'i'))[1];
    v_from integer := greatest(coalesce(strpos(v_text, v_hit), 1) - 60, 1);
    v_cut  text := substr(v_text, v_from, 200);
begin
    -- Whole words, as long as they are words.
    if v_from > 1 then
        v_cut := '… ' || regexp_replace(v_cut, '^\S{0,30}\s+', '');
    end if;
    if length(v_cut) > 160 then
        v_cut := regexp_replace(left(v_cut, 160), '\s+\S{0,30}$', '') || ' …';
    end if;
    v_cut := btrim(regexp_replace(v_cut, '[\s\u0001-\u001f\u007f-\u00a0\u2028\u2029]+', ' ', 'g'));
    return coalesce(regexp_replace(v_cut, p_pattern, replace(p_mark_start, '\', '\\') || '\1' || replace(p_mark_end, '\', '\\'), 'gi'), v_cut, '');
end $$;
comment on function mailrow.excerpt is
    'Some 160 characters around the first hit in a text, in one line, hits marked; the beginning of the text where it has none.';

create function mailrow.search_rank(p_words text[], p_subject text, p_from text, p_text text, p_received_at timestamptz) returns real
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    v_subject constant text := ' ' || mailrow.fold(p_subject) || ' ';
    v_from    constant text := ' ' || mailrow.fold(p_from) || ' ';
    v_text    text := left(p_text, 20000);
    v_rank    double precision := 0;
    v_word    text;
begin
    v_text := case when octet_length(v_text) = length(v_text) then lower(v_text collate "C") else mailrow.fold_letters(v_text) end;
    foreach v_word in array p_words loop
        v_rank := v_rank
            + case when strpos(v_subject, ' ' || v_word) > 0 then 2 else 0 end
            + case when strpos(v_from, ' ' || v_word) > 0 then 1 else 0 end
            -- The first hits count most, and those in a short text more.
            + coalesce(ln(1 + (length(v_text) - length(replace(v_text, v_word, '')))::float / length(v_word)) / (1 + ln(1 + length(v_text) / 1000.0)), 0);
    end loop;
    return v_rank / greatest(cardinality(p_words), 1)
        + 0.5 / (1 + greatest(extract(epoch from now() - p_received_at), 0) / 86400 / 90);
end $$;
comment on function mailrow.search_rank is
    'How well a mail fits the words: 2 for a word in the subject, 1 for one in From, up to about 2 for how often it is in the text against the length of that, averaged over the words; and up to 0.5 for mail of these months.';

create function mailrow.search_with(
    p_keys uuid[], p_query text, p_max_rows integer, p_ranked boolean, p_mark_start text, p_mark_end text
) returns table (
    id bigint, account text, mailbox text, received_at timestamptz, from_name text, from_address text, subject text,
    attachments integer, thread bigint, rank real, excerpt text
) language plpgsql stable security definer rows 100 set search_path = pg_catalog, pg_temp
set jit = off set enable_seqscan = off set random_page_cost = 1.1 set max_parallel_workers_per_gather = 0 as $$
declare
    -- So many of the newest are ranked: to rank all mail that has a common word, all of it would have to be read.
    c_ranked   constant integer := 500;
    v_accounts constant bigint[] := mailrow.readable_accounts(p_keys);
    v_node     constant mailrow.search_node := mailrow.query_node(p_query, v_accounts);
    v_pattern  constant text := mailrow.hit_pattern(p_query);
    v_words    constant text[] := case when p_ranked then mailrow.rank_words(p_query) end;
begin
    if p_max_rows < 0 then
        perform mailrow.refuse(format('%s rows cannot be found', p_max_rows), 'max_rows is 0 or more; NULL for all.');
    end if;
    if btrim(p_query) <> '' and v_node.whole is null then
        perform mailrow.refuse('the query says nothing', 'Write a word, or an operator with its value.');
    end if;
    return query
        with found as materialized (
            select f.account_id, f.id, f.received_at,
                   case when p_ranked then mailrow.search_rank(v_words, m.subject, concat_ws(' ', m.from_name, m.from_address),
                                                              mailrow.read_pieces(m."text", m.raw, m.text_pieces), f.received_at) end as rank
            from mailrow.find(v_node, v_accounts, case when p_ranked then greatest(c_ranked, p_max_rows) else p_max_rows end) f
            join mailrow.deliveries d on d.account_id = f.account_id and d.id = f.id
            join mailrow.messages m on m.account_id = d.account_id and m.id = d.message
            order by rank desc nulls last, f.received_at desc, f.id desc
            limit p_max_rows)
        select f.id, a.name, b.name, f.received_at, m.from_name, m.from_address, m.subject,
               coalesce(cardinality(m.attachment_names) / 2, 0), m.thread, f.rank,
               mailrow.excerpt(mailrow.read_pieces(m."text", m.raw, m.text_pieces), v_pattern, p_mark_start, p_mark_end)
        from found f
        join mailrow.deliveries d on d.account_id = f.account_id and d.id = f.id
        join mailrow.messages m on m.account_id = d.account_id and m.id = d.message
        left join mailrow.mailboxes b on b.account_id = d.account_id and b.mailbox_id = d.mailbox
        left join mailrow.accounts a on a.account_id = d.account_id
        order by f.rank desc nulls last, f.received_at desc, f.id desc;
end $$;
comment on function mailrow.search_with is
    'search() in the accounts that keys of table search_keys open. It runs as the owner, whom row-level security does not filter.';

create function mailrow.rank_words(p_query text) returns text[]
language sql stable set search_path = pg_catalog, pg_temp as $$
    select coalesce(array_agg(distinct w), '{}')
    from unnest(mailrow.query_tokens(p_query)) t,
         string_to_table(mailrow.fold(regexp_replace(t, '^(subject|from):', '', 'i')), ' ') w
    where t not like '-%' and lower(t) not in ('or', '|') and w <> ''
      and t !~* '^(to|cc|filename|list|recipient|in|account|thread|before|after|larger|smaller|is|type|has):'
$$;
comment on function mailrow.rank_words is 'The words of a query that a rank is about.';

create function mailrow.search(
    query text, max_rows integer default null, ranked boolean default false, mark_start text default '«', mark_end text default '»'
) returns table (
    id bigint, account text, mailbox text, received_at timestamptz, from_name text, from_address text, subject text,
    attachments integer, thread bigint, rank real, excerpt text
) language plpgsql stable rows 100 set search_path = pg_catalog, pg_temp as $$
begin
    return query select * from mailrow.search_with(
        array(select k.key from mailrow.search_keys k), $1, $2, $3, $4, $5);
end $$;
comment on function mailrow.search is
    'The mail that a query matches, one row per arrival, the newest first, or ranked the best among the newest 500 matches first. Words, "phrases", -not, or, ( ), word*, from: to: cc: subject: filename: has:attachment type: before: after: larger: smaller: in: thread: account: list: recipient: is:.';
