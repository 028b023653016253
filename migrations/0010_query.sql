-- What a query means. A query becomes one node: a tsquery that every match fulfils,
-- and SQL for what the words cannot tell.

create type mailrow.search_node as (
    words  text,         -- tsquery that every match fulfils; NULL: none
    rest   text,         -- what else must hold, in SQL; NULL: nothing
    whole  text,         -- all of it in SQL
    wanted boolean,      -- words names something that must be there, not only what must not
    since  timestamptz,  -- no match was received before
    until  timestamptz,  -- nor then or later
    places text,         -- SQL on mailboxes b that holds for every match; NULL: none
    thread text,         -- SQL on m that leaves a few messages; NULL: none
    must   text[]        -- folded words that are in the text of every match; NULL: none
);
comment on type mailrow.search_node is
    'A part of a query. Its SQL is about m (messages), d (deliveries), x.folded (search_text) and v.words (search_words).';

create function mailrow.node_of_words(p_words text) returns mailrow.search_node
language sql immutable as $$
    select row(p_words, null, format('v.words @@ %L::tsquery', p_words), true, null, null, null, null, null)::mailrow.search_node
$$;
comment on function mailrow.node_of_words is 'A node that the index decides by itself.';

create function mailrow.node_of_sql(p_words text, p_condition text) returns mailrow.search_node
language sql immutable as $$
    select row(p_words, p_condition, case when p_words is null then p_condition
               else format('(v.words @@ %L::tsquery and %s)', p_words, p_condition) end,
               p_words is not null, null, null, null, null, null)::mailrow.search_node
$$;
comment on function mailrow.node_of_sql is 'A node of words, or none, and a condition that must hold beside them and is never NULL.';

create function mailrow.node_not(n mailrow.search_node) returns mailrow.search_node
language sql immutable as $$
    select row(case when n.rest is null then '!(' || n.words || ')' end,
               case when n.rest is not null then 'not ' || n.whole end,
               'not ' || n.whole, false, null, null, null, null, null)::mailrow.search_node
$$;
comment on function mailrow.node_not is 'What a node does not match.';

create function mailrow.node_and(a mailrow.search_node, b mailrow.search_node) returns mailrow.search_node
language sql immutable as $$
    select case when a.whole is null then b when b.whole is null then a else
        row(nullif(concat_ws(' & ', a.words, b.words), ''), nullif(concat_ws(' and ', a.rest, b.rest), ''),
            '(' || a.whole || ' and ' || b.whole || ')', a.wanted or b.wanted,
            greatest(a.since, b.since), least(a.until, b.until),
            nullif(concat_ws(' and ', a.places, b.places), ''), coalesce(a.thread, b.thread), a.must || b.must)::mailrow.search_node end
$$;
comment on function mailrow.node_and is 'What both nodes match. A node that is NULL says nothing.';

create function mailrow.node_or(a mailrow.search_node, b mailrow.search_node) returns mailrow.search_node
language sql immutable as $$
    select row(w.words, case when w.words is null or a.rest is not null or b.rest is not null then w.whole end, w.whole,
               w.words is not null and a.wanted and b.wanted, null, null, null, null, null)::mailrow.search_node
    from (select case when a.words is not null and b.words is not null
                      then '((' || a.words || ') | (' || b.words || '))' end as words,
                 '(' || a.whole || ' or ' || b.whole || ')' as whole) w
$$;
comment on function mailrow.node_or is 'What one of two nodes matches, or both.';

create function mailrow.refuse(p_problem text, p_hint text) returns void
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
    raise exception 'mailrow: %', p_problem using errcode = 'invalid_parameter_value', hint = p_hint;
end $$;
comment on function mailrow.refuse is 'Fails with SQLSTATE 22023: a query that cannot be understood.';

create function mailrow.quote_word(p_word text) returns text
language sql immutable strict as $$
    select '''' || replace(replace(p_word, '\', '\\'), '''', '''''') || ''''
$$;
comment on function mailrow.quote_word is 'A word as tsquery reads it literally.';

create function mailrow.word_query(p_word text, p_prefix boolean, p_language text) returns text
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
    if p_prefix then
        -- The index has stems: of what is cut off, nobody can say more.
        return mailrow.quote_word(p_word) || ':*';
    end if;
    -- A dictionary may make several words of one: all places, one word of each.
    return (
        select string_agg('(' || p.words || ')', ' & ')
        from (select string_agg(mailrow.quote_word(t.lexeme), ' | ' order by t.lexeme) as words
              from unnest(to_tsvector(p_language::regconfig, p_word)) t, unnest(t.positions) as place
              group by place order by place) p);
end $$;
comment on function mailrow.word_query is
    'The tsquery of one folded word in a language; NULL for a word that the language does not index.';

create function mailrow.words_query(p_folded text, p_prefix boolean, p_languages text[]) returns text
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    v_words   constant text[] := string_to_array(p_folded, ' ');
    v_queries text[];
    v_all     text[] := '{}';
begin
    for i in 1 .. cardinality(v_words) loop
        continue when length(v_words[i]) > 40;  -- not in the index
        v_queries := array(select mailrow.word_query(v_words[i], p_prefix and i = cardinality(v_words), l)
                           from unnest(p_languages) with ordinality as t (l, n) order by n);
        if (select count(distinct coalesce(q, '')) from unnest(v_queries) q) = 1 then
            v_all := v_all || v_queries[1];
        else
            v_all := v_all || ('(' || (
                select string_agg(mailrow.quote_word('language:' || p_languages[n]) || coalesce(' & (' || q || ')', ''), ' | ' order by n)
                from unnest(v_queries) with ordinality as t (q, n)) || ')');
        end if;
    end loop;
    return array_to_string(array_remove(v_all, null), ' & ');
end $$;
comment on function mailrow.words_query is
    'The tsquery of folded words, all of them, in each of several languages; empty when none of them is indexed.';

create function mailrow.phrase(p_folded text, p_prefix boolean) returns text
language sql immutable as $$
    select ' ' || p_folded || case when p_prefix then '' else ' ' end
$$;
comment on function mailrow.phrase is 'What a folded text with a blank at both ends contains, where the words follow one another.';

create function mailrow.holds(p_texts text[], p_phrase text) returns boolean
language sql immutable as $$
    select coalesce(strpos(' ' || mailrow.fold_each(p_texts) || ' ', p_phrase) > 0, false)
$$;
comment on function mailrow.holds is 'Whether one of some texts contains a phrase.';

create function mailrow.has_address(p_account bigint, p_message bigint, p_field text, p_phrase text) returns boolean
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    return exists (
        select from mailrow.message_addresses l
        where l.account_id = p_account and l.message = p_message and l.field = p_field
          and mailrow.holds(array[l.name, l.address], p_phrase));
end $$;
comment on function mailrow.has_address is 'Whether an address field of a message contains a phrase.';

create function mailrow.read_date(p_operator text, p_value text) returns timestamptz
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    v_parts text[];
begin
    case lower(p_value)
        when 'today' then return current_date;
        when 'yesterday' then return current_date - 1;
        else null;
    end case;
    v_parts := regexp_match(lower(p_value), '^(\d{1,4})(d|w|m|y)$');
    if v_parts is not null then
        return now() - (v_parts[1] || case v_parts[2] when 'd' then ' days' when 'w' then ' weeks'
                                                      when 'm' then ' months' else ' years' end)::interval;
    end if;
    v_parts := regexp_match(p_value, '^(\d{4})(?:[-/.](\d{1,2})(?:[-/.](\d{1,2}))?)?$');
    if v_parts is not null then
        return make_date(v_parts[1]::integer, coalesce(v_parts[2]::integer, 1), coalesce(v_parts[3]::integer, 1));
    end if;
    raise datetime_field_overflow;
exception when datetime_field_overflow or invalid_datetime_format then
    perform mailrow.refuse(format('%s:%s is no date', p_operator, left(p_value, 100)),
        format('Write %s:2026-01-31, %1$s:2026-01, %1$s:2026, %1$s:today, or how long ago: %1$s:7d, 3w, 2m, 1y.', p_operator));
end $$;
comment on function mailrow.read_date is
    'The beginning of a day, month or year in the zone of the session, or a time so long ago.';

create function mailrow.read_size(p_operator text, p_value text) returns bigint
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
declare
    v_parts constant text[] := regexp_match(lower(p_value), '^(\d{1,12}(?:\.\d{1,6})?)([kmg]?)(?:i?b)?$');
    v_size  numeric;
begin
    if v_parts is not null then
        v_size := v_parts[1]::numeric * case v_parts[2] when 'k' then 1024 when 'm' then 1048576 when 'g' then 1073741824 else 1 end;
    end if;
    if v_size is null or v_size > 1e15 then
        perform mailrow.refuse(format('%s:%s is no size', p_operator, left(p_value, 100)),
            format('Write %s:500K, %1$s:5M or %1$s:1G.', p_operator));
    end if;
    return v_size::bigint;
end $$;
comment on function mailrow.read_size is 'A size in bytes: 500K, 5M, 1.5G.';

create function mailrow.text_node(p_value text, p_quoted boolean, p_languages text[]) returns mailrow.search_node
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    v_folded constant text := mailrow.fold(p_value);
    v_prefix constant boolean := p_value like '%*';
    v_words  constant text := mailrow.words_query(v_folded, v_prefix, p_languages);
    v_holds  constant text := format('strpos(x.folded, %L) > 0', mailrow.phrase(v_folded, v_prefix));
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
comment on function mailrow.text_node is
    'What a word or phrase means that may be anywhere in a mail; NULL where it means nothing.';

create function mailrow.literal_words(p_folded text, p_languages text[]) returns text[]
language sql immutable as $$
    -- Where words have stems, other forms count as well.
    select case when p_languages = array['simple'] then string_to_array(p_folded, ' ') end
$$;
comment on function mailrow.literal_words is 'search_node.must for folded words.';

create function mailrow.account_marks(p_accounts bigint[]) returns text
language sql immutable strict as $$
    select coalesce('(' || string_agg(mailrow.quote_word('account:' || a), ' | ') || ')', '''account:''') from unnest(p_accounts) a
$$;
comment on function mailrow.account_marks is 'The tsquery of the messages of some accounts.';

create function mailrow.field_node(p_operator text, p_value text, p_languages text[], p_accounts bigint[]) returns mailrow.search_node
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    v_folded  constant text := mailrow.fold(p_value);
    v_words   constant text := nullif(mailrow.words_query(v_folded, p_value like '%*', p_languages), '');
    v_phrase  constant text := mailrow.phrase(v_folded, p_value like '%*');
    v_own     bigint[];
    v_holds   text;
    v_node    mailrow.search_node;
begin
    if v_folded = '' then
        return null;
    end if;
    v_holds := format(case p_operator
        when 'subject'   then 'mailrow.holds(array[m.subject], %L)'
        when 'from'      then 'mailrow.holds(array[m.from_name, m.from_address, m.sender_address], %L)'
        when 'list'      then 'mailrow.holds(array[m.list_id], %L)'
        when 'filename'  then 'mailrow.holds(mailrow.file_names(m.attachment_names), %L)'
        when 'cc'        then 'mailrow.has_address(m.account_id, m.id, ''cc'', %L)'
        when 'to'        then 'mailrow.has_address(m.account_id, m.id, ''to'', %L)'
        when 'recipient' then 'mailrow.holds(array[d.recipient], %L)' end, v_phrase);
    if p_operator = 'recipient' then
        return mailrow.node_of_sql(null, v_holds);
    end if;
    if p_operator = 'to' then
        -- Bcc and aliases: in the account of that name, the envelope counts too.
        v_own := array(select a.account_id from mailrow.accounts a
                       where (p_accounts is null or a.account_id = any (p_accounts))
                         and (octet_length(a.name) > length(a.name) or strpos(lower(a.name), split_part(v_folded, ' ', 1)) > 0)
                         and mailrow.holds(array[a.name], v_phrase)
                       order by 1 limit 20);
        if cardinality(v_own) > 0 then
            v_holds := format('(%s or d.account_id = any (%L::bigint[]) and mailrow.holds(array[d.recipient], %L))', v_holds, v_own, v_phrase);
            return mailrow.node_of_sql('((' || v_words || ') | ' || mailrow.account_marks(v_own) || ')', v_holds);
        end if;
    end if;
    v_node := mailrow.node_of_sql(v_words, v_holds);
    v_node.must := mailrow.literal_words(v_folded, p_languages);
    return v_node;
end $$;
comment on function mailrow.field_node is
    'What an operator with words means, such as from: or filename:; NULL where it means nothing.';

create function mailrow.name_test(p_column text, p_value text) returns text
language sql immutable as $$
    select case when p_value like '%*' then format('starts_with(lower(%s), %L)', p_column, lower(rtrim(p_value, '*')))
                else format('lower(%s) = %L', p_column, lower(p_value)) end
$$;
comment on function mailrow.name_test is 'SQL that tests a name: Archive/* stands for all that begins so.';

create function mailrow.account_node(p_value text, p_accounts bigint[]) returns mailrow.search_node
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    v_node  mailrow.search_node;
    v_named bigint[];
    v_test  text;
begin
    execute format('select coalesce(array_agg(s.account_id), ''{}'')
                    from (select a.account_id from mailrow.accounts a
                          where ($1 is null or a.account_id = any ($1)) and %s order by 1 limit 1001) s',
                   mailrow.name_test('a.name', p_value)) into v_named using p_accounts;
    if cardinality(v_named) > 1000 then
        perform mailrow.refuse(format('account:%s means more than a thousand accounts', p_value), 'Give more of the name.');
    end if;
    v_test := format('account_id = any (%L::bigint[])', v_named);
    v_node := mailrow.node_of_sql(case when cardinality(v_named) <= 20 then mailrow.account_marks(v_named) end, 'd.' || v_test);
    v_node.places := 'b.' || v_test;
    return v_node;
end $$;
comment on function mailrow.account_node is 'What account: means.';

create function mailrow.thread_node(p_value text, p_accounts bigint[]) returns mailrow.search_node
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    v_node mailrow.search_node;
    v_test text;
begin
    if p_value !~ '^\d{1,18}$' then
        perform mailrow.refuse(format('thread:%s is no number of a mail', left(p_value, 100)), 'Write thread: and an id, as view mail has it.');
    end if;
    v_test := coalesce((
        select format('(m.account_id = %s and m.thread = %s)', m.account_id, m.thread)
        from mailrow.deliveries d join mailrow.messages m on m.account_id = d.account_id and m.id = d.message
        where d.id = p_value::bigint and (p_accounts is null or d.account_id = any (p_accounts))), 'false');
    v_node := mailrow.node_of_sql(null, v_test);
    v_node.thread := v_test;
    return v_node;
end $$;
comment on function mailrow.thread_node is 'What thread: means.';

create function mailrow.fact_node(p_operator text, p_value text, p_accounts bigint[]) returns mailrow.search_node
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    v_node mailrow.search_node;
    v_test text;
    v_time timestamptz;
    v_size bigint;
begin
    case
    when p_operator = 'account' then
        v_node := mailrow.account_node(p_value, p_accounts);
    when p_operator = 'thread' then
        v_node := mailrow.thread_node(p_value, p_accounts);
    when p_operator = 'in' then
        v_test := mailrow.name_test('b.name', p_value);
        v_node := mailrow.node_of_sql(null, format(
            'coalesce((select %s from mailrow.mailboxes b where b.account_id = d.account_id and b.mailbox_id = d.mailbox), false)', v_test));
        v_node.places := v_test;
    when p_operator = 'before' then
        v_time := mailrow.read_date(p_operator, p_value);
        v_node := mailrow.node_of_sql(null, format('d.received_at < %L', v_time));
        v_node.until := v_time;
    when p_operator = 'after' then
        v_time := mailrow.read_date(p_operator, p_value);
        v_node := mailrow.node_of_sql(null, format('d.received_at >= %L', v_time));
        v_node.since := v_time;
    when p_operator in ('larger', 'smaller') then
        v_size := mailrow.read_size(p_operator, p_value);
        v_node := mailrow.node_of_sql(
            (select '(' || string_agg(mailrow.quote_word('size:' || c), ' | ') || ')' from generate_series(0, 51) c
             where case p_operator when 'larger' then c >= mailrow.size_class(v_size) else c <= mailrow.size_class(v_size) end),
            format('m.size %s %s', case p_operator when 'larger' then '>' else '<' end, v_size));
    when p_operator = 'is' then
        v_node := mailrow.node_of_sql(null, mailrow.flag_test(lower(p_value)));
    when p_operator = 'has' and lower(p_value) in ('attachment', 'attachments') then
        v_node := mailrow.node_of_words('''has:attachment''');
    else  -- type:pdf, has:pdf
        v_node := mailrow.node_of_words(mailrow.quote_word('type:' || left(lower(p_value), 80)));
    end case;
    return v_node;
end $$;
comment on function mailrow.fact_node is
    'What the operators mean that ask for places, dates, sizes, flags and attachments.';

create function mailrow.flag_test(p_state text) returns text
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
declare
    v_flag constant text := case p_state
        when 'read' then '\Seen' when 'seen' then '\Seen' when 'unread' then '\Seen' when 'unseen' then '\Seen'
        when 'flagged' then '\Flagged' when 'starred' then '\Flagged'
        when 'answered' then '\Answered' when 'draft' then '\Draft' end;
begin
    if v_flag is null then
        perform mailrow.refuse(format('is:%s is not known', left(p_state, 100)),
                               'Write is:unread, is:read, is:flagged, is:answered or is:draft.');
    end if;
    return case when p_state like 'un%' then 'not ' else '' end || quote_literal(v_flag) || ' = any (d.flags)';
end $$;
comment on function mailrow.flag_test is 'SQL for is:, such as is:unread.';

create function mailrow.term_node(p_term text, p_languages text[], p_accounts bigint[]) returns mailrow.search_node
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    v_parts    constant text[] := regexp_match(p_term, '^([A-Za-z]+):(.*)$');
    v_operator constant text := lower(v_parts[1]);
    v_value    constant text := btrim(replace(v_parts[2], '"', ' '));
    v_of_field  constant boolean := v_operator in ('from', 'to', 'cc', 'subject', 'filename', 'list', 'recipient');
    v_of_fact   constant boolean := v_operator in ('in', 'account', 'thread', 'before', 'after', 'larger', 'smaller', 'is', 'type', 'has');
begin
    -- To leave it out would find more than was meant, and delete --query that.
    if (v_of_field or v_of_fact) and v_value = '' then
        perform mailrow.refuse(format('%s: has no value', v_operator), 'Write it without a blank: subject:invoice.');
    end if;
    if v_of_field then
        return mailrow.field_node(v_operator, v_value, p_languages, p_accounts);
    elsif v_of_fact then
        return mailrow.fact_node(v_operator, v_value, p_accounts);
    end if;
    return mailrow.text_node(btrim(replace(p_term, '"', ' ')), p_term like '"%', p_languages);
end $$;
comment on function mailrow.term_node is
    'What one term means: a word, a phrase in quotes, or an operator with a value; NULL where it means nothing. What is no operator is text.';

create index accounts_by_language on mailrow.accounts (language);

create function mailrow.languages_in_use() returns text[]
language sql stable set search_path = pg_catalog, pg_temp as $$
    with recursive l (language) as (
        (select a.language from mailrow.accounts a order by a.language limit 1)
        union all
        select (select a.language from mailrow.accounts a where a.language > l.language order by a.language limit 1)
        from l where l.language is not null)
    select array_agg(s.language order by s.language)
    from (select l.language from l
          where exists (select from pg_ts_config c where c.oid::regconfig::text = l.language)
          union select 'simple') s
$$;
comment on function mailrow.languages_in_use is
    'The text search configurations of all accounts, and simple, which index_mail() falls back to.';

create function mailrow.query_tokens(p_query text) returns text[]
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
declare
    v_tokens text[];
begin
    if length(p_query) > 10000 then
        perform mailrow.refuse(format('a query of %s characters is too long', length(p_query)), 'At most 10000 characters are read.');
    end if;
    v_tokens := array(select t[1] from regexp_matches(translate(p_query, '“”„«»', '"""""'),
                          '-*\(|\)|[^\s()"]*"[^"]*(?:"|$)\*?|[^\s()"]+', 'g') t);
    if cardinality(v_tokens) > 500 then
        perform mailrow.refuse(format('a query of %s words is too long', cardinality(v_tokens)), 'At most 500 are read.');
    end if;
    return v_tokens;
end $$;
comment on function mailrow.query_tokens is
    'The parts of a query: words, operators with their values, phrases in quotes, parentheses. A quote that nobody closed ends with the query.';

create type mailrow.search_level as (
    met     mailrow.search_node,  -- all terms but the last
    last    mailrow.search_node,  -- the last term, or those that or has joined
    joined  boolean,              -- or stands before the next term
    negated boolean               -- so does -
);
comment on type mailrow.search_level is 'What was read of a query within one parenthesis.';

create function mailrow.level_with(p_level mailrow.search_level, p_term mailrow.search_node) returns mailrow.search_level
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
declare
    v_node mailrow.search_node := p_term;
begin
    if v_node.whole is not null then
        if p_level.negated then
            v_node := mailrow.node_not(v_node);
        end if;
        if p_level.joined and (p_level.last).whole is not null then
            p_level.last := mailrow.node_or(p_level.last, v_node);
        else
            p_level.met := mailrow.node_and(p_level.met, p_level.last);
            p_level.last := v_node;
        end if;
    end if;
    p_level.joined := false;
    p_level.negated := false;
    return p_level;
end $$;
comment on function mailrow.level_with is 'What was read, with one more term.';

create function mailrow.query_node(p_query text, p_accounts bigint[]) returns mailrow.search_node
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    v_languages constant text[] := mailrow.languages_in_use();
    v_outer     mailrow.search_level[] := '{}';
    v_level     mailrow.search_level := row(null, null, false, false);
    v_token     text;
begin
    foreach v_token in array mailrow.query_tokens(p_query) || array_fill(text ')', array[500]) loop
        if v_token like '%(' then
            v_level.negated := v_token like '-%';
            v_outer := v_outer || v_level;
            v_level := row(null, null, false, false);
        elsif v_token = ')' then
            continue when cardinality(v_outer) = 0;
            v_level := mailrow.level_with(v_outer[cardinality(v_outer)], mailrow.node_and(v_level.met, v_level.last));
            v_outer := trim_array(v_outer, 1);
        elsif lower(v_token) in ('or', '|') then
            v_level.joined := true;
        else
            v_level.negated := v_token like '-%';
            v_level := mailrow.level_with(v_level, mailrow.term_node(ltrim(v_token, '-'), v_languages, p_accounts));
        end if;
    end loop;
    return mailrow.node_and(v_level.met, v_level.last);
end $$;
comment on function mailrow.query_node is
    'What a query means: or joins its two neighbours, - negates, parentheses group, and one that nobody closed ends with the query. NULL for a query that says nothing.';
