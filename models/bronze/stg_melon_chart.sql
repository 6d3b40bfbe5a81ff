-- Which songs did Melon rank on each day?
{{ typed_chart(source('charts', 'melon_chart')) }}
