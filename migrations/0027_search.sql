-- Searches in a large archive: an index of what stands in which field, phrases that are
-- found without folding every text, and no more mail looked at than a query asks for.

-- Texts. One piece is what nearly all mail has, and it needs no query.

create or replace function mailrow.read_pieces(p_stored text, p_raw bytea, p_pieces integer[]) returns text
language plpgsql immutable parallel safe set search_path = pg_catalog, pg_temp as $$
declare
    v_raw bytea;
begin
    if p_stored is not null or p_pieces is null then
        return p_stored;
    elsif cardinality(p_pieces) = 3 then
        v_raw := substring(p_raw from p_pieces[1] + 1 for p_pieces[2] - p_pieces[1]);
        if p_pieces[3] & 3 <> 0 then
            v_raw := mailrow.undo_encoding(v_raw, p_pieces[3] & 3);
        end if;
        return replace(convert_from(v_raw, case p_pieces[3] & 4 when 0 then 'UTF8' else 'WIN1252' end), E'\r\n', E'\n');
    end if;
    v_raw := p_raw || ''::bytea;  -- taken out of TOAST once, not for every piece
    return (
        select string_agg(replace(convert_from(mailrow.undo_encoding(
                   substring(v_raw from p_pieces[i] + 1 for p_pieces[i + 1] - p_pieces[i]), p_pieces[i + 2] & 3),
                   case p_pieces[i + 2] & 4 when 0 then 'UTF8' else 'WIN1252' end), E'\r\n', E'\n'), E'\n' order by i)
        from generate_series(1, cardinality(p_pieces), 3) i);
end $$;

-- Fields. A word of the text is in much more mail than the same word in a subject or an
-- address, so what stands where has marks of its own, in a second index. It reads no
-- text, and is partial as the first is: a delivery does not pay for it.

create function mailrow.field_mark(p_field text, p_word text) returns text
language sql immutable strict parallel safe as $$
    select pg_catalog.left(p_field || ':' || p_word, 50)
$$;
comment on function mailrow.field_mark is 'What messages_by_field has of a folded word in a field, such as subject:invoice.';

create function mailrow.marked(p_field text, p_text text) returns text
language sql immutable strict parallel safe as $$
    select p_field || ':' || pg_catalog.replace(mailrow.fold(p_text), ' ', ' ' || p_field || ':')
$$;
comment on function mailrow.marked is 'The folded words of a text, each after the name of its field.';

create function mailrow.field_words(
    p_account bigint, p_id bigint, p_subject text, p_from_name text, p_from_address text, p_sender_address text,
    p_to_addresses text[], p_cc_addresses text[], p_recipient_names text[], p_list_id text, p_attachment_names text[]
) returns tsvector
language plpgsql immutable parallel safe set search_path = pg_catalog, pg_temp as $$
declare
    v_from  constant text := concat_ws(E'\n', p_from_name, p_from_address, p_sender_address);
    -- Whose the names are it does not say: To or Cc.
    v_names constant text := array_to_string(p_recipient_names, E'\n');
    v_to    constant text := concat_ws(E'\n', array_to_string(p_to_addresses, E'\n'), v_names);
    v_cc    constant text := case when p_cc_addresses is not null then concat_ws(E'\n', array_to_string(p_cc_addresses, E'\n'), v_names) end;
    v_files text;
    v_words text;
begin
    if p_attachment_names is not null then
        v_files := array_to_string(mailrow.file_names(p_attachment_names), E'\n');
    end if;
    v_words := concat_ws(' ', mailrow.marked('subject', p_subject), mailrow.marked('from', v_from), mailrow.marked('to', v_to),
        mailrow.marked('cc', v_cc), mailrow.marked('list', p_list_id), mailrow.marked('filename', v_files));
    if octet_length(v_words) > 500000 then  -- a tsvector ends at 1 MB
        v_words := 'fields:long';
    elsif v_words ~ '[^ ]{51}' then
        v_words := regexp_replace(v_words, '([^ ]{50})[^ ]+', '\1', 'g');
    end if;
    return array_to_tsvector(string_to_array(v_words, ' ') || array['account:' || p_account, 'ids:' || (p_id >> 10), 'wide-ids:' || (p_id >> 14)]
        || case when p_attachment_names is not null then array['has:attachment'] end);
end $$;
comment on function mailrow.field_words is
    'What messages_by_field holds of a message: each word of its subject, addresses, list and file names with the name of the field, and marks as those of search_words(). Never fails, whatever a mail has.';

create index messages_by_field on mailrow.messages using gin (mailrow.field_words(
    account_id, id, subject, from_name, from_address, sender_address, to_addresses, cc_addresses, recipient_names, list_id, attachment_names))
    with (fastupdate = on) where language is not null;
alter index mailrow.messages_by_field alter column 1 set statistics 0;

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
        perform gin_clean_pending_list(to_regclass(i)) from unnest('{mailrow.messages_by_word,mailrow.messages_by_field}'::text[]) i;
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

-- Nodes.

alter type mailrow.search_node
    add attribute fields text,    -- tsquery of field_words() that every match fulfils; NULL: none that says as much as words
    add attribute light  boolean; -- rest reads no text
comment on type mailrow.search_node is
    'A part of a query. Its SQL is about m (messages), d (deliveries), x.folded (search_text) and v.words (search_words).';

create or replace function mailrow.node_of_words(p_words text) returns mailrow.search_node
language sql immutable as $$
    select row(p_words, null, format('v.words @@ %L::tsquery', p_words), true, null, null, null, null, null, null, true)::mailrow.search_node
$$;

create or replace function mailrow.node_of_sql(p_words text, p_condition text) returns mailrow.search_node
language sql immutable as $$
    select row(p_words, p_condition, p_condition, p_words is not null, null, null, null, null, null, null, false)::mailrow.search_node
$$;
comment on function mailrow.node_of_sql is
    'A node of a condition, which is never NULL, and of words that are in whatever fulfils it, or none.';

create or replace function mailrow.node_not(n mailrow.search_node) returns mailrow.search_node
language sql immutable as $$
    select row(case when n.rest is null then '!(' || n.words || ')' end,
               case when n.rest is not null then 'not ' || n.whole end,
               'not ' || n.whole, false, null, null, null, null, null, null, n.rest is null or n.light and n.words is null)::mailrow.search_node
$$;

create or replace function mailrow.node_and(a mailrow.search_node, b mailrow.search_node) returns mailrow.search_node
language sql immutable as $$
    select case when a.whole is null then b when b.whole is null then a else
        row(nullif(concat_ws(' & ', a.words, b.words), ''), nullif(concat_ws(' and ', a.rest, b.rest), ''),
            '(' || a.whole || ' and ' || b.whole || ')', a.wanted or b.wanted,
            greatest(a.since, b.since), least(a.until, b.until),
            nullif(concat_ws(' and ', a.places, b.places), ''), coalesce(a.thread, b.thread), a.must || b.must,
            -- What one of them has only in words would be lost.
            case when (a.fields is not null or a.words is null) and (b.fields is not null or b.words is null)
                 then nullif(concat_ws(' & ', a.fields, b.fields), '') end,
            a.light and b.light)::mailrow.search_node end
$$;

create or replace function mailrow.node_or(a mailrow.search_node, b mailrow.search_node) returns mailrow.search_node
language sql immutable as $$
    select row(w.words, case when w.words is null and w.fields is null or a.rest is not null or b.rest is not null then w.whole end, w.whole,
               w.words is not null and a.wanted and b.wanted, null, null, null, null, null, w.fields,
               a.light and b.light and a.words is null and b.words is null)::mailrow.search_node
    from (select case when a.words is not null and b.words is not null
                      then '((' || a.words || ') | (' || b.words || '))' end as words,
                 case when a.fields is not null and b.fields is not null
                      then '((' || a.fields || ') | (' || b.fields || '))' end as fields,
                 '(' || a.whole || ' or ' || b.whole || ')' as whole) w
$$;

-- Phrases. To fold a text takes much longer than to look into it as it is. Of a text in
-- ASCII one look tells all. Beside ASCII, most texts have only characters of which it is
-- known what becomes of them: letters with accents, and such as never become a letter of
-- ASCII or vanish. There one look leaves few to be folded.

create function mailrow.phrase_pattern(p_folded text, p_prefix boolean) returns text
language sql immutable parallel safe as $$
    select '(^|[^a-z0-9])' || replace(p_folded, ' ', '[^a-z0-9]+') || case when p_prefix then '' else '([^a-z0-9]|$)' end
$$;
comment on function mailrow.phrase_pattern is
    'A regular expression of folded words in ASCII, one after the other, in a text of ASCII in lower case: it finds what fold() and phrase() find.';

create function mailrow.accented_pattern(p_folded text) returns text
language plpgsql immutable parallel safe set search_path = pg_catalog, pg_temp as $$
begin
    -- After each letter what vanishes.
    return (select string_agg(case l.letter when ' ' then '[^a-z0-9]+'
                      else coalesce(c.class, l.letter) || '[\u00ad\u0300-\u036f\u200b-\u200f\u2060-\u2064\ufe0f\ufeff]*' end, '' order by l.n)
    from string_to_table(p_folded, null) with ordinality as l (letter, n)
    left join (select left(k, 1) as letter, '[' || k || ']' as class
               from unnest('{1¹,2²,3³,aªÀ-ÅàáâãäåĀ-ąẠ-ặ,cÇçĆ-č,dÐðĎ-đ,eÈ-Ëè-ëĒ-ěẸ-ệ,gĜ-ģ,hĤ-ħ,iÌ-Ïì-ïĨ-ıỈ-ị,jĴĵ,kĶķ,lĹ-ľŁł,nÑñŃ-ň,oºÒ-ÖØò-öøŌ-őƠơỌ-ợ,rŔ-ř,sŚ-š,tŢ-ŧ,uÙ-Üù-üŨ-ųƯưỤ-ự,wŴŵ,yÝýÿŶ-ŸỲ-ỹ,zŹ-ž}'::text[]) k) c
           using (letter));
end $$;
comment on function mailrow.accented_pattern is
    'A regular expression of folded words in ASCII as they may be written in known_characters(): it finds there what fold() and phrase() find, and more.';

create function mailrow.known_characters(p_folded text) returns text
language sql immutable parallel safe set search_path = pg_catalog, pg_temp as $$
    select '^[\u0001-\u007f\u00a0-\u00bb\u00bf-\u00c5\u00c7-\u00dd\u00e0-\u00e5\u00e7-\u00fd\u00ff-\u0131\u0134-\u013e\u0141-\u0148\u014a-\u0151'
        '\u0154-\u017e\u01a0\u01a1\u01af\u01b0\u0300-\u036f\u0391-\u03c9\u0400-\u04ff\u1ea0-\u1ef9\u200b-\u2027\u2030-\u205e\u2060-\u2064\u20ac'
        '\u2190-\u23ff\u2500-\u27bf\u3000-\u30ff\u3400-\u9fff\uac00-\ud7a3\ufe0f\ufeff\uff01-\uff0f\uff1a-\uff1f\ufffd\U0001f300-\U0001faff'
        -- What becomes two letters, where the words have no such two.
        || case when strpos(p_folded, 'ss') = 0 then 'ß' else '' end || case when strpos(p_folded, 'ae') = 0 then 'Ææ' else '' end
        || case when strpos(p_folded, 'oe') = 0 then 'Œœ' else '' end || case when strpos(p_folded, 'th') = 0 then 'Þþ' else '' end
        || case when strpos(p_folded, 'tm') = 0 then '™' else '' end || ']*$'
$$;
comment on function mailrow.known_characters is
    'A regular expression of texts in which folded words of ASCII are written as accented_pattern() says.';

create function mailrow.says(p_phrase text, p_plain text, p_accented text, p_known text, p_texts text[]) returns boolean
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
declare
    v_ascii constant boolean := octet_length(p_phrase) = length(p_phrase);
    v_text  text;
    v_lower text collate "C";
begin
    foreach v_text in array p_texts loop
        continue when v_text is null;
        if p_plain is not null or not v_ascii then
            v_lower := lower(v_text collate "C");
            if octet_length(v_lower) = length(v_lower) then
                if v_ascii and v_lower ~ p_plain then
                    return true;
                end if;
                continue;
            end if;
            continue when v_ascii and v_lower !~ p_accented and v_lower ~ p_known;
        end if;
        if strpos(' ' || mailrow.fold(v_text) || ' ', p_phrase) > 0 then
            return true;
        end if;
    end loop;
    return false;
end $$;
comment on function mailrow.says is
    'Whether one of some texts has a phrase(). The patterns are for words in ASCII: phrase_pattern(), accented_pattern() and known_characters(); NULL: each text is folded.';

create function mailrow.says_sql(p_folded text, p_prefix boolean, p_texts text) returns text
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
declare
    -- A long pattern may be more than a regular expression can be.
    v_words constant text := case when octet_length(p_folded) = length(p_folded) and length(p_folded) <= 200 then p_folded end;
begin
    return format('mailrow.says(%L, %L, %L, %L, %s)', mailrow.phrase(p_folded, p_prefix), mailrow.phrase_pattern(v_words, p_prefix),
                  -- The last letter of a prefix may be the first of two that one character becomes.
                  mailrow.accented_pattern(case when p_prefix then left(v_words, -1) else v_words end), mailrow.known_characters(v_words), p_texts);
end $$;
comment on function mailrow.says_sql is 'SQL that tells whether texts, which are SQL for an array, have folded words one after the other.';

create function mailrow.all_texts() returns text
language sql immutable as $$
    select text 'array[left(mailrow.read_pieces(m."text", m.raw, m.text_pieces), 10000000), m.subject, m.from_name, m.from_address, m.sender_address, m.list_id]
        || m.to_addresses || m.cc_addresses || m.reply_to || m.recipient_names || mailrow.file_names(m.attachment_names)'
$$;
comment on function mailrow.all_texts is 'SQL of all that words and phrases search in message m, an array of texts: what search_text() folds.';

create or replace function mailrow.text_node(p_value text, p_quoted boolean, p_languages text[]) returns mailrow.search_node
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    v_folded constant text := mailrow.fold(p_value);
    v_prefix constant boolean := p_value like '%*';
    v_words  constant text := mailrow.words_query(v_folded, v_prefix, p_languages);
    v_node   mailrow.search_node;
begin
    if v_folded = '' then
        return null;
    end if;
    -- One word in quotes is meant as it is written; without, its stem is enough,
    -- and a word that no language indexes says nothing.
    if strpos(v_folded, ' ') > 0 or length(v_folded) > 40
       or p_quoted and not v_prefix and p_languages <> array['simple'] then
        v_node := mailrow.node_of_sql(nullif(v_words, ''), mailrow.says_sql(v_folded, v_prefix, mailrow.all_texts()));
    elsif v_words <> '' then
        v_node := mailrow.node_of_words(v_words);
    end if;
    v_node.must := mailrow.literal_words(v_folded, p_languages);
    return v_node;
end $$;
drop function mailrow.may_hold_phrase;

create function mailrow.field_query(p_field text, p_folded text, p_prefix boolean) returns text
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
declare
    v_words constant text[] := string_to_array(p_folded, ' ');
    v_all   text[] := '{}';
begin
    for i in 1 .. cardinality(v_words) loop
        v_all := v_all || ('(' || mailrow.quote_word(mailrow.field_mark(p_field, v_words[i]))
                 || case when p_prefix and i = cardinality(v_words) then ':*' else '' end || ' | ''fields:long'')');
    end loop;
    return array_to_string(v_all, ' & ');
end $$;
comment on function mailrow.field_query is 'The tsquery of field_words() for folded words in a field.';

create or replace function mailrow.field_node(p_operator text, p_value text, p_languages text[], p_accounts bigint[]) returns mailrow.search_node
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    v_folded  constant text := mailrow.fold(p_value);
    v_prefix  constant boolean := p_value like '%*';
    v_words   constant text := nullif(mailrow.words_query(v_folded, v_prefix, p_languages), '');
    v_phrase  constant text := mailrow.phrase(v_folded, v_prefix);
    v_own     bigint[];
    v_holds   text;
    v_node    mailrow.search_node;
begin
    if v_folded = '' then
        return null;
    end if;
    v_holds := case
        when p_operator in ('cc', 'to')  then format('mailrow.has_address(m.account_id, m.id, %L, %L)', p_operator, v_phrase)
        else mailrow.says_sql(v_folded, v_prefix, case p_operator
            when 'subject'   then 'array[m.subject]'
            when 'from'      then 'array[m.from_name, m.from_address, m.sender_address]'
            when 'list'      then 'array[m.list_id]'
            when 'filename'  then 'coalesce(mailrow.file_names(m.attachment_names), ''{}'')'
            when 'recipient' then 'array[d.recipient]' end) end;
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
    v_node.fields := mailrow.field_query(p_operator, v_folded, v_prefix);
    return v_node;
end $$;

create or replace function mailrow.term_node(p_term text, p_languages text[], p_accounts bigint[]) returns mailrow.search_node
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    v_parts    constant text[] := regexp_match(p_term, '^([A-Za-z]+):(.*)$');
    v_operator constant text := lower(v_parts[1]);
    v_value    constant text := btrim(replace(v_parts[2], '"', ' '));
    v_of_field  constant boolean := v_operator in ('from', 'to', 'cc', 'subject', 'filename', 'list', 'recipient');
    v_of_fact   constant boolean := v_operator in ('in', 'account', 'thread', 'before', 'after', 'larger', 'smaller', 'is', 'type', 'has');
    v_node      mailrow.search_node;
begin
    -- To leave it out would find more than was meant, and delete --query that.
    if (v_of_field or v_of_fact) and v_value = '' then
        perform mailrow.refuse(format('%s: has no value', v_operator), 'Write it without a blank: subject:invoice.');
    end if;
    if v_of_field then
        return mailrow.field_node(v_operator, v_value, p_languages, p_accounts);
    elsif v_of_fact then
        v_node := mailrow.fact_node(v_operator, v_value, p_accounts);
        v_node.light := true;
        if v_operator = 'account' or v_node.words = '''has:attachment''' then
            v_node.fields := v_node.words;  -- marks that both indexes have
        end if;
        return v_node;
    end if;
    return mailrow.text_node(btrim(replace(p_term, '"', ' ')), p_term like '"%', p_languages);
end $$;

-- Finding. What the index gives is a list of deliveries; their texts are read from the
-- newest on, until there are enough that match.

drop function mailrow.find, mailrow.find_newest, mailrow.indexed_sql;

create or replace function mailrow.search_from(p_kind text, p_words text, p_conditions text) returns text
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
declare
    v_folded constant text := 'mailrow.search_text(m.subject, m.from_name, m.from_address, m.sender_address, m.to_addresses, m.cc_addresses, '
        'm.reply_to, m.recipient_names, m.attachment_names, m.list_id, mailrow.read_pieces(m."text", m.raw, m.text_pieces))';
    -- As in the definitions of the indexes.
    v_index  constant text := case p_kind
        when 'words' then format('mailrow.search_words(m.language, m.account_id, m.id, m.size, m.attachment_names, %s) @@ %L::tsquery', v_folded, p_words)
        when 'fields' then format('mailrow.field_words(m.account_id, m.id, m.subject, m.from_name, m.from_address, m.sender_address, '
                                  'm.to_addresses, m.cc_addresses, m.recipient_names, m.list_id, m.attachment_names) @@ %L::tsquery', p_words) end;
    v_where  constant text := case when p_kind = 'waiting' and p_words is not null then format('v.words @@ %L::tsquery and ', p_words) else '' end || p_conditions;
    v_words  constant boolean := strpos(v_where, 'v.words') > 0;
    -- In their order, so that a limit ends it early. Each is looked up by itself: the
    -- planner knows little of how much an index finds, and nothing of what a text costs.
    v_listed constant text := ' order by l.received_at desc, l.id desc offset 0) w '
        'cross join lateral (select d.* from mailrow.deliveries d where d.account_id = w.account_id and d.id = w.id offset 0) d '
        'cross join lateral (select m.* from mailrow.messages m where m.account_id = w.account_id and m.id = w.message offset 0) m';
begin
    -- What is read of a message is read once, and only when the conditions ask for it.
    return case p_kind
            when 'waiting' then 'from (select l.account_id, l.id, l.message, l.received_at from mailrow.messages m '
                'join mailrow.deliveries l on l.account_id = m.account_id and l.message = m.id where m.language is null' || v_listed
            when 'listed' then 'from (select l.* from l' || v_listed
            when 'any' then 'from mailrow.messages m join mailrow.deliveries d on d.account_id = m.account_id and d.message = m.id'
            else 'from (select m.* from mailrow.messages m where m.language is not null and ' || v_index || ' offset 0) m '
                'cross join lateral (select d.* from mailrow.deliveries d where d.account_id = m.account_id and d.message = m.id offset 0) d' end
        || case when v_words or strpos(v_where, 'x.folded') > 0
                then ' cross join lateral (select ' || v_folded || ' as folded offset 0) x' else '' end
        || case when v_words
                then ' cross join lateral (select mailrow.search_words(coalesce(m.language, (select a.language from mailrow.accounts a '
                     'where a.account_id = m.account_id)), m.account_id, m.id, m.size, m.attachment_names, x.folded) as words offset 0) v' else '' end
        || ' where ' || v_where;
end $$;
comment on function mailrow.search_from is
    'From and where of a search: by messages_by_word (words) or messages_by_field (fields), in a list l of deliveries (listed), in what index_mail() has yet to take up (waiting), or in all mail without an index (any).';

create type mailrow.search_plan as (
    index text,     -- words or fields
    words text,     -- tsquery of that index
    light text,     -- SQL that must hold and reads no text
    heavy text,     -- what else must hold, in SQL; NULL: nothing
    most  integer   -- so many of the newest; NULL: all
);
comment on type mailrow.search_plan is 'How an index is asked for what a query matches.';

create function mailrow.indexed_sql(p_plan mailrow.search_plan) returns text
language sql immutable as $$
    select 'select d.account_id, d.id, d.received_at ' || mailrow.search_from(p_plan.index, p_plan.words, concat_ws(' and ', p_plan.light, p_plan.heavy))
$$;
comment on function mailrow.indexed_sql is 'A query of all that a plan finds.';

create function mailrow.listed_sql(p_plan mailrow.search_plan, p_words text, p_since timestamptz, p_most integer) returns text
language sql immutable as $$
    select 'with l as materialized (select d.account_id, d.id, d.message, d.received_at '
        || mailrow.search_from(p_plan.index, concat_ws(' & ', p_words, p_plan.words),
                               concat_ws(' and ', 'd.received_at >= ' || quote_literal(p_since), p_plan.light))
        || coalesce(' limit ' || p_most + 1, '')
        || ') select (select count(*) from l), array(select row(s.account_id, s.id, s.received_at)::mailrow.search_hit from ('
        || case when p_plan.heavy is null then 'select l.account_id, l.id, l.received_at from l'
                else '(select d.account_id, d.id, d.received_at '
                     || mailrow.search_from('listed', null, concat_ws(' and ', '(select count(*) from l) <= ' || p_most, p_plan.heavy))
                     || ' order by w.received_at desc, w.id desc limit ' || p_plan.most || ')' end
        || ' union all select * from unnest($1)' || coalesce(' where received_at >= ' || quote_literal(p_since), '')
        || ' order by 3 desc, 2 desc limit ' || p_plan.most || ') s)'
$$;
comment on function mailrow.listed_sql is
    'A query of how long the list of an index is, and of the newest matches in it and in $1: within a window, or of all, if the list is not longer than a number.';

create or replace function mailrow.newest_window(p_node mailrow.search_node, p_deliveries integer, p_few boolean, p_accounts bigint[]) returns mailrow.search_window
language plpgsql stable set search_path = pg_catalog, pg_temp set enable_bitmapscan = off as $$
declare
    v_window mailrow.search_window;
    v_near   bigint[];
    v_wide   bigint[];
begin
    execute 'select sum(g.deliveries), min(g.since), array_agg(g.near) from '
        || '(select w.message >> 10 as near, count(*) as deliveries, min(w.received_at) as since from ('
        || mailrow.newest_first('d.id, d.message, d.received_at', concat_ws(' and ', 'from mailrow.deliveries d where true',
               'd.received_at >= ' || quote_literal(p_node.since), 'd.received_at < ' || quote_literal(p_node.until)),
               p_deliveries, p_few, p_accounts, p_node.places) || ') w group by 1) g'
        into v_window.deliveries, v_window.since, v_near;
    v_wide := array(select distinct i >> 4 from unnest(v_near) i);
    v_window.words := case
        when cardinality(v_near) <= 8 then (select '(' || string_agg(mailrow.quote_word('ids:' || i), ' | ') || ')' from unnest(v_near) i)
        when cardinality(v_wide) <= 8 then (select '(' || string_agg(mailrow.quote_word('wide-ids:' || i), ' | ') || ')' from unnest(v_wide) i) end;
    return v_window;
end $$;

create function mailrow.find_newest(p_node mailrow.search_node, p_plan mailrow.search_plan, p_accounts bigint[], p_few boolean, p_waiting mailrow.search_hit[])
returns mailrow.search_hit[]
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    -- To look up so many of a list takes about as long as a window of ten times as many
    -- deliveries. How many of them match, a window tells too late where texts are read.
    c_list       constant integer := case when p_plan.heavy is null then 2000 else 4000 end;
    v_total      constant bigint := (select c.reltuples from pg_class c where c.oid = 'mailrow.deliveries'::regclass);
    v_deliveries bigint := greatest(400, 4 * p_plan.most::bigint);
    v_long       boolean := false;  -- the list of all is longer than c_list
    v_window     mailrow.search_window;
    v_listed     bigint;
    v_hits       mailrow.search_hit[];
    v_next       bigint;
begin
    while v_deliveries <= 100000 loop
        v_window := mailrow.newest_window(p_node, v_deliveries::integer, p_few, p_accounts);
        exit when v_window.words is null or v_window.deliveries < v_deliveries;
        execute mailrow.listed_sql(p_plan, v_window.words, v_window.since, null) into v_listed, v_hits using p_waiting;
        if cardinality(v_hits) >= p_plan.most then
            return v_hits;
        end if;
        -- As many as should do, if the older mail is like the newer; of one or two hits nothing can be told.
        v_next := v_deliveries * greatest(5, case when cardinality(v_hits) >= 3 then ceil(2.0 * p_plan.most / cardinality(v_hits)) end);
        if v_listed >= 3 then
            -- Unless the list of all is short against that.
            exit when v_listed * v_total / v_deliveries < greatest(v_next / 20, case when cardinality(v_hits) < 3 then c_list end);
        elsif not v_long and 3 * v_total / v_deliveries <= 2 * c_list then  -- or it is not likely to be short
            execute mailrow.listed_sql(p_plan, null, null, c_list) into v_listed, v_hits using p_waiting;
            if v_listed <= c_list then
                return v_hits;
            end if;
            v_long := true;
        end if;
        v_deliveries := v_next;
    end loop;
    execute mailrow.listed_sql(p_plan, null, null, null) into v_listed, v_hits using p_waiting;
    return v_hits;
end $$;
comment on function mailrow.find_newest is
    'The newest deliveries that match: among the newest of all, as far as these do, or else in the whole list of the index.';

create function mailrow.find(p_node mailrow.search_node, p_accounts bigint[], p_limit integer) returns setof mailrow.search_hit
language plpgsql stable rows 100 set search_path = pg_catalog, pg_temp
set jit = off set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
set work_mem = '64MB' set random_page_cost = 1.1 set max_parallel_workers_per_gather = 0 as $$
declare
    v_mine    constant text := case when p_accounts is null then 'true'
                                    else format('d.account_id = any (%L::bigint[]) and m.account_id = any (%1$L::bigint[])', p_accounts) end;
    v_few     constant boolean := mailrow.few_places(p_accounts, p_node.places);
    v_words   text := p_node.words;
    v_plan    mailrow.search_plan;
    v_waiting mailrow.search_hit[];
    v_hits    mailrow.search_hit[];
begin
    if p_node.thread is not null or v_words is null and p_node.fields is null then
        return query select * from mailrow.find_without_words(p_node, v_mine, p_accounts, v_few, p_limit);
        return;
    end if;
    v_plan := row('fields', p_node.fields, v_mine, null, p_limit);
    if cardinality(p_accounts) <= 20 then
        v_words := mailrow.account_marks(p_accounts) || ' & ' || v_words;
        v_plan.words := mailrow.account_marks(p_accounts) || ' & ' || v_plan.words;
    elsif not p_node.wanted then
        -- Only what must not be there: the index needs something to begin with.
        v_words := (select '(' || string_agg(mailrow.quote_word('language:' || l), ' | ') || ') & '
                    from unnest(mailrow.languages_in_use()) l) || v_words;
    end if;
    if v_plan.words is null then
        v_plan.index := 'words';
        v_plan.words := v_words;
    end if;
    if p_node.light then
        v_plan.light := concat_ws(' and ', v_mine, p_node.rest);
    else
        v_plan.light := concat_ws(' and ', v_mine, 'd.received_at >= ' || quote_literal(p_node.since), 'd.received_at < ' || quote_literal(p_node.until));
        v_plan.heavy := p_node.rest;
    end if;
    if p_limit is null then
        return query execute mailrow.indexed_sql(v_plan) || ' union all ' || mailrow.waiting_sql(v_words, concat_ws(' and ', v_mine, p_node.rest), p_node.must, null);
        return;
    end if;
    if exists (select from mailrow.messages m where m.language is null) then
        execute 'select array_agg(row(s.account_id, s.id, s.received_at)::mailrow.search_hit) from ('
                || mailrow.waiting_sql(v_words, concat_ws(' and ', v_mine, p_node.rest), p_node.must, p_limit) || ') s' into v_waiting;
    end if;
    -- Within the query it would run twice: the planner wants to know how many there are.
    v_hits := mailrow.find_newest(p_node, v_plan, p_accounts, v_few, v_waiting);
    return query select * from unnest(v_hits);
end $$;
comment on function mailrow.find is
    'The deliveries that a query matches in these accounts: all, or the newest so many.';

-- Functions in SQL that cannot be inlined are planned at each call, which takes longer
-- than what these do; those in PL/pgSQL keep their plans.

create or replace function mailrow.readable_accounts(p_keys uuid[]) returns bigint[]
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    return (
        select case when coalesce(bool_or(k.role_name = '' or g.role_name is not null and g.account_id is null), false) then null
                    else coalesce(array_agg(distinct g.account_id) filter (where g.account_id is not null), '{}') end
        from mailrow.search_keys k
        left join mailrow.grants g on g.role_name = k.role_name
        where k.key = any (p_keys));
end $$;

create or replace function mailrow.languages_in_use() returns text[]
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    return (
        with recursive l (language) as (
            (select a.language from mailrow.accounts a order by a.language limit 1)
            union all
            select (select a.language from mailrow.accounts a where a.language > l.language order by a.language limit 1)
            from l where l.language is not null)
        select array_agg(s.language order by s.language)
        from (select l.language from l
              where exists (select from pg_ts_config c where c.oid::regconfig::text = l.language)
              union select 'simple') s);
end $$;

create or replace function mailrow.letters_pattern(p_folded text) returns text
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
    return (
        select replace(replace(replace(string_agg(coalesce(c.class, l.letter), '' order by l.n),
                   '[sśŝşšș][sśŝşšș]', '(?:ss|ß)'), '[aàáâãäåāăąǎ][eèéêëēĕėęě]', '(?:[aàáâãäåāăąǎ][eèéêëēĕėęě]|æ)'),
                   '[oòóôõöøōŏőǒ][eèéêëēĕėęě]', '(?:[oòóôõöøōŏőǒ][eèéêëēĕėęě]|œ)')
        from string_to_table(p_folded, null) with ordinality as l (letter, n)
        left join (select left(k, 1) as letter, '[' || k || ']' as class
                   from unnest('{aàáâãäåāăąǎ,cçćĉċč,dďđð,eèéêëēĕėęě,gĝğġģ,hĥħ,iìíîïĩīĭįıǐ,jĵ,kķ,lĺļľŀł,nñńņňŋ,oòóôõöøōŏőǒ,rŕŗř,sśŝşšș,tţťŧț,uùúûüũūŭůűųǔ,wŵ,yýÿŷ,zźżž,αά,εέ,ηή,ιίϊΐ,οό,υύϋΰ,ωώ,σς,её}'::text[]) k) c
               using (letter));
end $$;
